#include "app/process.h"

#include "base/clock.h"
#include "base/file.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

static er_counter *cpu_seconds(er_metrics *m) {
    return er_metrics_counter(m, "process_cpu_seconds_total", "User and system CPU time.", NULL);
}

static er_gauge *gauge(er_metrics *m, const char *name, const char *help) {
    return er_metrics_gauge(m, name, help, NULL);
}

static uint64_t cpu_ms(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        return 0;
    }
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

/* The second number of /proc/self/statm, in pages. */
static double resident_bytes(void) {
    er_buf text;
    er_buf_init(&text, 256);
    uint64_t pages = 0;
    if (er_file_read("/proc/self/statm", &text, NULL) == ER_OK) {
        er_str rest = er_buf_str(&text);
        while (rest.n > 0 && rest.p[0] != ' ') {
            rest = (er_str){rest.p + 1, rest.n - 1};
        }
        rest = er_str_trim(rest);
        er_str word = {rest.p, 0};
        while (word.n < rest.n && rest.p[word.n] != ' ') {
            word.n++;
        }
        (void)er_parse_u64(word, &pages);
    }
    er_buf_fini(&text);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double open_fds(void) {
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    double n = 0;
    while (readdir(dir) != NULL) {
        n++;
    }
    (void)closedir(dir);
    return n - 3; /* ".", ".." and the directory itself */
}

static double max_fds(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (double)limit.rlim_cur : 0;
}

static void on_render(void *arg) {
    er_metrics *m = arg;
    er_counter_set(cpu_seconds(m), cpu_ms());
    er_gauge_set(gauge(m, "process_resident_memory_bytes", "Resident memory."), resident_bytes());
    er_gauge_set(gauge(m, "process_open_fds", "Open file descriptors."), open_fds());
    er_gauge_set(gauge(m, "process_max_fds", "The limit of open file descriptors."), max_fds());
}

void er_process_metrics(er_metrics *metrics) {
    er_gauge_set(gauge(metrics, "process_start_time_seconds", "When the program started."),
                 (double)er_time_now() / 1e6);
    on_render(metrics);
    er_metrics_on_render(metrics, on_render, metrics);
}
