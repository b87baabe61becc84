// Counts the lines, words and bytes of files, or of standard input: an ordinary C program, which knows nothing of components.
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct counts {
    unsigned long lines, words, bytes;
};

static struct counts count(FILE *file) {
    struct counts counts = {0};
    bool in_word = false;
    for (int byte; (byte = getc(file)) != EOF; counts.bytes++) {
        counts.lines += byte == '\n';
        counts.words += !in_word && !isspace(byte);
        in_word = !isspace(byte);
    }
    return counts;
}

static void print(struct counts counts, const char *name) {
    printf("%lu %lu %lu %s\n", counts.lines, counts.words, counts.bytes, name);
}

int main(int argc, char *argv[]) {
    if (argc < 2)
        print(count(stdin), "-");
    int status = EXIT_SUCCESS;
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "r");
        if (!file) {
            perror(argv[i]);
            status = EXIT_FAILURE;
            continue;
        }
        print(count(file), argv[i]);
        fclose(file);
    }
    return status;
}
