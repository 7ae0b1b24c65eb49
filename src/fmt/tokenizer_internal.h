/* What the parts of the tokenizer share: its data, filled by tokenizer_json.c, completed by tokenizer_files.c. */
#ifndef RETORT_FMT_TOKENIZER_INTERNAL_H
#define RETORT_FMT_TOKENIZER_INTERNAL_H

#include <pthread.h>

#include "fmt/tokenizer.h"
#include "fmt/tokenizer_added.h"
#include "fmt/tokenizer_bpe.h"
#include "fmt/tokenizer_decoder.h"
#include "fmt/tokenizer_steps.h"
#include "fmt/tokenizer_vocab.h"

/* A file that belongs to the tokenizer, as it was read or made: tokenizer_write puts it down again. */
struct tokenizer_file {
    char *name, *text;
    size_t size;
};
enum { TOKENIZER_FILES_MAX = 4 };

/* What a thread holds while it encodes. */
struct tokenizer_memory {
    struct tokenizer_memory *next;
    struct steps_memory normalizer, pre_tokenizer;
    struct bpe_memory *bpe;
    struct strbuf repaired;
};

struct tokenizer {
    struct vocab vocab;
    struct bpe bpe;
    struct steps normalizer, pre_tokenizer;
    struct added_tokens added;
    struct decoder decoder;
    uint32_t size; /* the largest id of all + 1 */
    uint64_t hash;
    int64_t bos, eos;
    bool adds_bos;
    char *chat_template;
    struct tokenizer_file files[TOKENIZER_FILES_MAX];
    int file_count;
    pthread_mutex_t lock; /* of idle alone */
    struct tokenizer_memory *idle;
};

struct tokenizer *tokenizer_new(void);
void tokenizer_keep_file(struct tokenizer *t, const char *name, const void *text, size_t size);

/* The tokenizer.json that a GGUF's metadata stands for (tokenizer_gguf.c). */
int gguf_tokenizer_json(const struct gguf *g, const char *name, struct strbuf *json, struct err *e);

/* Reads what tokenizer_config.json says: specials by name, add_bos_token, the chat template. */
int tokenizer_read_config(struct tokenizer *t, const char *text, size_t size, const char *path, struct err *e);

#endif
