# Compiler flags of every target, on the interface library er_flags. Each flag is tried first, so
# that newer compilers get the newer ones.
include(CheckCCompilerFlag)
include(CheckLinkerFlag)
add_library(er_flags INTERFACE)
target_compile_definitions(er_flags INTERFACE _GNU_SOURCE)

function(er_flag_try)
    foreach(flag ${ARGN})
        string(MAKE_C_IDENTIFIER "HAVE${flag}" var)
        check_c_compiler_flag("${flag}" ${var})
        if(${var})
            target_compile_options(er_flags INTERFACE ${flag})
        endif()
    endforeach()
endfunction()

function(er_link_flag_try)
    foreach(flag ${ARGN})
        string(MAKE_C_IDENTIFIER "HAVELINK${flag}" var)
        check_linker_flag(C "${flag}" ${var})
        if(${var})
            target_link_options(er_flags INTERFACE ${flag})
        endif()
    endforeach()
endfunction()

er_flag_try(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
    -Wmissing-prototypes -Wold-style-definition -Wcast-qual -Wcast-align=strict -Wwrite-strings
    -Wvla -Wformat=2 -Wundef -Wdouble-promotion -Wnull-dereference -Wlogical-op
    -Wduplicated-cond -Wduplicated-branches -Wswitch-enum -Wimplicit-fallthrough
    -Wredundant-decls -Wcast-function-type -Wno-missing-field-initializers
    -Werror=implicit -Werror=incompatible-pointer-types -Werror=int-conversion
    -fno-omit-frame-pointer -fvisibility=hidden -fno-strict-aliasing
    -ffile-prefix-map=${PROJECT_SOURCE_DIR}=.)
if(CMAKE_C_COMPILER_ID MATCHES Clang)
    er_flag_try(-Wno-string-conversion) # ER_ASSERT(!"what")
endif()
if(ER_WERROR)
    er_flag_try(-Werror)
endif()
if(ER_SANITIZE)
    target_compile_options(er_flags INTERFACE -fsanitize=${ER_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(er_flags INTERFACE -fsanitize=${ER_SANITIZE})
endif()
if(ER_FUZZ)
    target_compile_options(er_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(ER_HARDEN)
    set(CMAKE_POSITION_INDEPENDENT_CODE ON)
    er_flag_try(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong
        -fstack-clash-protection -fstrict-flex-arrays=3 -fcf-protection=full
        -mbranch-protection=standard -fno-delete-null-pointer-checks -fno-strict-overflow
        -ftrivial-auto-var-init=zero -Wtrampolines -Wbidi-chars=any -fzero-init-padding-bits=all
        -Wformat=2 -Werror=format-security)
    er_link_flag_try(-Wl,-z,nodlopen -Wl,-z,noexecstack -Wl,-z,relro -Wl,-z,now
        -Wl,--as-needed -Wl,--no-copy-dt-needed-entries -Wl,-z,separate-code -Wl,--build-id=sha1)
    target_link_options(er_flags INTERFACE $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie>)
endif()
