/* What every unit test includes: cmocka, and a few helpers. */
#ifndef ER_TESTS_UNIT_H
#define ER_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/json_read.h"

#include <string.h>

/* Asserts that a slice holds exactly this text, and shows both when not. */
#define assert_str(slice, text)                                                                    \
    do {                                                                                           \
        er_str slice_ = (slice);                                                                   \
        char *copy_ = er_str_dup(slice_);                                                          \
        assert_string_equal(copy_, (text));                                                        \
        free(copy_);                                                                               \
    } while (0)

#endif
