/* What every target sets up. Weak: a target that needs more has its own. */
#include "fuzz.h"

__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    er_json_setup();
    return 0;
}
