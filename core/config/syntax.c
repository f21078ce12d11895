/* What is wrong with the text of a file before it means anything: bytes that no configuration may
 * have, and libyaml's errors in words that say what to do. */
#include "config/config_priv.h"

#include <string.h>

/* ---- bytes ---- */

static uint32_t code_point(const char *p, size_t len) {
    const unsigned char *b = (const unsigned char *)p;
    if (len == 1) {
        return b[0];
    }
    uint32_t c = b[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        c = c << 6 | (b[i] & 0x3fU);
    }
    return c;
}

/* The characters that YAML 1.1 section 5.1 allows, but for line breaks that no editor counts. */
static bool is_legal(uint32_t c) {
    if (c < 0x20) {
        return c == '\t' || c == '\n' || c == '\r';
    }
    return !(c >= 0x7f && c <= 0x9f) && c != 0x2028 && c != 0x2029 && c != 0xfeff && c != 0xfffe &&
           c != 0xffff;
}

static void report_char(uint32_t c, er_pos pos, er_problems *problems) {
    if (c == 0) {
        er_problems_add(problems, false, pos, "",
                        "a NUL byte; the file is binary, or UTF-16: save it as UTF-8");
    } else if (c == 0x85 || c == 0x2028 || c == 0x2029) {
        er_problems_add(
            problems, false, pos, "",
            "the line separator U+%04X; break lines with a newline, or write \"\\u%04x\" "
            "in double quotes",
            c, c);
    } else {
        er_problems_add(problems, false, pos, "",
                        "the control character U+%04X is not allowed; in double quotes it may be "
                        "written \"\\u%04x\"",
                        c, c);
    }
}

static void report_byte(const char *text, size_t n, size_t at, er_pos pos, er_problems *problems) {
    unsigned byte = (unsigned char)text[at];
    bool is_utf16 = at == 0 && n >= 2 && (byte == 0xff || byte == 0xfe);
    er_problems_add(problems, false, pos, "",
                    "the byte 0x%02X is not UTF-8; save the file as UTF-8%s", byte,
                    is_utf16 ? " (it is UTF-16)" : "");
}

/* Lines end as in libyaml, so that all positions agree: LF, CR LF, or CR. */
static er_pos advance(er_pos pos, uint32_t c, char next) {
    if (c == '\n' || (c == '\r' && next != '\n')) {
        return (er_pos){pos.line + 1, 1};
    }
    return (er_pos){pos.line, pos.col + 1};
}

bool er_text_check(const char *text, size_t n, er_problems *problems) {
    er_pos pos = {1, 1};
    for (size_t at = 0; at < n;) {
        size_t len = er_utf8_len(text + at, n - at);
        if (len == 0) {
            report_byte(text, n, at, pos, problems);
            return false;
        }
        uint32_t c = code_point(text + at, len);
        if (!is_legal(c)) {
            report_char(c, pos, problems);
            return false;
        }
        at += len;
        pos = advance(pos, c, at < n ? text[at] : '\0');
    }
    return true;
}

er_str er_text_line(const char *text, size_t n, int line) {
    size_t at = 0;
    for (int i = 1; i < line && at < n; i++) {
        while (at < n && text[at] != '\n' && text[at] != '\r') {
            at++;
        }
        at += at + 1 < n && text[at] == '\r' && text[at + 1] == '\n' ? 2 : 1;
    }
    size_t end = at;
    while (end < n && text[end] != '\n' && text[end] != '\r') {
        end++;
    }
    return at < n ? (er_str){text + at, end - at} : (er_str){"", 0};
}

/* ---- libyaml's words ---- */

typedef enum syntax_at {
    AT_PROBLEM,      /* shown where libyaml found it */
    AT_CONTEXT,      /* shown where the thing began */
    AT_PROBLEM_LINE, /* shown where it was found; the text names the line where the thing began */
} syntax_at;

typedef struct rewording {
    const char *context, *problem; /* how libyaml's texts begin; NULL: any */
    syntax_at at;
    const char *text; /* AT_PROBLEM_LINE: is followed by the line's number and ")" */
} rewording;

static const char anchors[] =
    "anchors (&name) and aliases (*name) are not supported; put a text that begins with \"&\" or "
    "\"*\" in quotes";
static const char tags[] =
    "tags (!name) are not supported; put a text that begins with \"!\" in quotes";
static const char escapes[] =
    "unknown escape sequence; in double quotes write \\\\ for a backslash, or use single quotes";

/* The first that fits is taken. */
static const rewording rewordings[] = {
    {"while scanning an anchor", NULL, AT_CONTEXT, anchors},
    {"while scanning an alias", NULL, AT_CONTEXT, anchors},
    {"while scanning a tag", NULL, AT_CONTEXT, tags},
    {"while parsing a tag", NULL, AT_CONTEXT, tags},
    {"while parsing a node", "found undefined tag handle", AT_CONTEXT, tags},
    {"while scanning a directive", NULL, AT_CONTEXT,
     "a line that begins with \"%\" is a directive; put a text that begins with \"%\" in quotes"},
    {"while scanning a %", NULL, AT_CONTEXT, "this directive is not understood; remove it"},
    {"while scanning a quoted scalar", "found unexpected end", AT_CONTEXT,
     "this quote is not closed"},
    {"while scanning a quoted scalar", "found unexpected document", AT_CONTEXT,
     "this quote is not closed before the document ends"},
    {"while parsing a quoted scalar", NULL, AT_PROBLEM, escapes},
    {"while scanning a block scalar", NULL, AT_PROBLEM,
     "behind \"|\" or \">\" nothing may stand but \"-\", \"+\", a digit or a comment; the text "
     "begins on the next line"},
    {"while scanning a simple key", NULL, AT_CONTEXT,
     "expected \"key: value\": a \":\" and a blank are missing here"},
    {NULL, "mapping values are not allowed", AT_PROBLEM,
     "a \":\" is not expected here; put a text that contains \": \" in quotes, and check the "
     "indentation and the line above"},
    {NULL, "block sequence entries are not allowed", AT_PROBLEM,
     "a list item (\"- \") is not expected here; begin the list on a line of its own"},
    {NULL, "mapping keys are not allowed", AT_PROBLEM,
     "\"? \" is not expected here; put a text that begins with it in quotes"},
    {"while parsing a block mapping", NULL, AT_PROBLEM_LINE,
     "expected a key here; check the indentation and the quotes (the map begins on line "},
    {"while parsing a block collection", NULL, AT_PROBLEM_LINE,
     "expected a list item (\"- \") here; check the indentation (the list begins on line "},
    {"while parsing a flow sequence", NULL, AT_PROBLEM_LINE,
     "expected \",\" or \"]\" here (the \"[\" is on line "},
    {"while parsing a flow mapping", NULL, AT_PROBLEM_LINE,
     "expected \",\" or \"}\" here (the \"{\" is on line "},
    {NULL, "did not find expected node content", AT_PROBLEM,
     "expected a value here; put a text that begins with a special character in quotes"},
    {NULL, "did not find expected <document start>", AT_PROBLEM,
     "expected the end of the file here; check the indentation"},
    {NULL, "found incompatible YAML document", AT_PROBLEM,
     "this version of YAML is not supported; remove the %YAML line"},
    {NULL, "found duplicate %", AT_PROBLEM, "a second directive of one kind; remove it"},
};

static bool begins(const char *text, const char *start) {
    return start == NULL || (text != NULL && strncmp(text, start, strlen(start)) == 0);
}

/* A tab where blanks belong is told by libyaml in a dozen ways. */
static bool report_start(const er_syntax *said, er_problems *problems) {
    bool is_start = begins(said->problem, "found character that cannot start any token") ||
                    begins(said->problem, "found a tab character");
    if (said->at == '\t') {
        er_problems_add(problems, false, said->pos, "",
                        "a tab stands here; YAML is indented with blanks");
        return true;
    }
    if (is_start) {
        er_problems_add(problems, false, said->pos, "",
                        "a text cannot begin with \"%c\"; put it in quotes", said->at);
    }
    return is_start;
}

void er_syntax_report(const er_syntax *said, er_problems *problems) {
    if (report_start(said, problems)) {
        return;
    }
    if (said->is_variable) { /* within [] or {}, where it is a map behind a "$" */
        er_problems_add(
            problems, false, said->pos, "",
            "variables are not expanded here; write {env: NAME} for a secret or a URL, and "
            "put another text with \"${\" in quotes");
        return;
    }
    for (size_t i = 0; i < sizeof rewordings / sizeof rewordings[0]; i++) {
        const rewording *r = &rewordings[i];
        if (!begins(said->context, r->context) || !begins(said->problem, r->problem)) {
            continue;
        }
        if (r->at == AT_PROBLEM_LINE && said->at_end &&
            begins(r->context, "while parsing a flow")) {
            er_problems_add(problems, false, said->context_pos, "", "this \"%s\" is not closed",
                            begins(r->context, "while parsing a flow seq") ? "[" : "{");
        } else if (r->at == AT_PROBLEM_LINE) {
            er_problems_add(problems, false, said->pos, "", "%s%d)", r->text,
                            said->context_pos.line);
        } else {
            er_problems_add(problems, false, r->at == AT_CONTEXT ? said->context_pos : said->pos,
                            "", "%s", r->text);
        }
        return;
    }
    er_problems_add(problems, false, said->pos, "", "not YAML: %s",
                    said->problem != NULL ? said->problem : "unknown error");
}
