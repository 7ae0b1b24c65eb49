/* data_cat MODEL FORMAT FILE TEMPLATE LENGTH PACK_SEED CORPUS: packs FILE (text, completion or chat) into CORPUS and
 * prints a line of JSON for each sequence, before them one with the name of the chat template ("auto": recognised;
 * null: no chat). For tools/reference/data_compare.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/corpus.h"

static void print_sequence(const struct sequence *s)
{
    printf("{\"ids\": [");
    for (int i = 0; i < s->tokens; i++)
        printf("%s%u", i ? ", " : "", s->ids[i]);
    printf("], \"documents\": [");
    for (int i = 0; i < s->documents; i++)
        printf("%s%d", i ? ", " : "", s->starts[i]);
    printf("], \"supervised\": [");
    for (int i = 0; i < s->tokens; i++)
        printf("%s%d", i ? ", " : "", s->supervised[i]);
    printf("]}\n");
}

static int cat(const struct corpus_spec *spec, const struct tokenizer *t, const char *path, struct err *e)
{
    uint64_t key;
    struct corpus *k;
    const struct chat_template *row = NULL;
    if (spec->files[SPLIT_TRAIN]->format == DATA_CHAT && chat_template_find(&row, spec->template_name, t, e))
        return -1;
    if (corpus_key(spec, t, &key, e) || corpus_build(path, key, spec, t, e) || corpus_open(&k, path, key, e))
        return -1;
    const char *quote = row ? "\"" : "";
    printf("{\"template\": %s%s%s}\n", quote, row ? chat_template_name(row) : "null", quote);
    for (int64_t i = 0; i < corpus_count(k, SPLIT_TRAIN); i++) {
        struct sequence s = corpus_sequence(k, SPLIT_TRAIN, i);
        print_sequence(&s);
    }
    corpus_close(k);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 8)
        return 2;
    const char *const formats[] = {[DATA_TEXT] = "text", [DATA_COMPLETION] = "completion", [DATA_CHAT] = "chat"};
    struct data_file file = {.path = argv[3]};
    while (strcmp(formats[file.format], argv[2]) != 0)
        if (++file.format > DATA_CHAT)
            return 2;
    const struct corpus_spec spec = {.files = {&file},
                                     .file_count = {1},
                                     .sequence_length = atoi(argv[5]),
                                     .pack_seed = strtoull(argv[6], NULL, 10),
                                     .append_eos = true,
                                     .template_name = argv[4]};
    struct err e = {0};
    struct tokenizer *t = NULL;
    int rc = tokenizer_open(&t, argv[1], &e) || cat(&spec, t, argv[7], &e);
    if (rc)
        fprintf(stderr, "%s\n", e.text);
    tokenizer_close(t);
    return rc;
}
