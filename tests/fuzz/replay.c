/* Hands a target the files of folders, for builds without libFuzzer: replay FOLDER... The last line
 * says how many there were; an empty folder is a failure, since nothing would be tested. */
#include "fuzz.h"

#include "base/file.h"

#include <dirent.h>

#define INPUT_MAX (16u << 20)

static size_t replay_file(const char *path) {
    er_buf bytes;
    er_err err;
    er_buf_init(&bytes, INPUT_MAX);
    if (er_file_read(path, &bytes, &err) != ER_OK) {
        (void)fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    /* Exactly its size on the heap, so that a sanitizer sees a read behind the end. */
    uint8_t *exact = malloc(bytes.len == 0 ? 1 : bytes.len);
    ER_ASSERT(exact != NULL);
    memcpy(exact, er_buf_cstr(&bytes), bytes.len);
    (void)fprintf(stderr, "%s\n", path); /* the last one named is the one that failed */
    (void)LLVMFuzzerTestOneInput(exact, bytes.len);
    free(exact);
    er_buf_fini(&bytes);
    return 1;
}

static size_t replay_folder(const char *folder) {
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return replay_file(folder);
    }
    size_t n = 0;
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            er_buf path;
            er_buf_init(&path, 4096);
            er_buf_putf(&path, "%s/%s", folder, entry->d_name);
            n += replay_file(er_buf_cstr(&path));
            er_buf_fini(&path);
        }
    }
    (void)closedir(dir);
    if (n == 0) {
        (void)fprintf(stderr, "%s: nothing in it\n", folder);
        exit(1);
    }
    return n;
}

int main(int argc, char **argv) {
    (void)LLVMFuzzerInitialize(&argc, &argv);
    size_t n = 0;
    for (int i = 1; i < argc; i++) {
        n += replay_folder(argv[i]);
    }
    (void)fprintf(stderr, "%zu inputs\n", n);
    return n > 0 ? 0 : 1;
}
