#include "fmt/tokenizer_internal.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "fmt/unicode.h"

void token_list_release(struct token_list *l)
{
    mem_free(l->ids);
    *l = (struct token_list){0};
}

void token_list_add(struct token_list *l, uint32_t id)
{
    if (l->count == l->room) {
        l->room = l->room ? 2 * l->room : 64;
        l->ids = mem_resize(l->ids, l->room, sizeof *l->ids);
    }
    l->ids[l->count++] = id;
}

struct tokenizer *tokenizer_new(void)
{
    struct tokenizer *t = mem_alloc(sizeof *t);
    t->bos = t->eos = -1;
    vocab_init(&t->vocab);
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

static void memory_free(struct tokenizer_memory *m)
{
    steps_memory_release(&m->normalizer);
    steps_memory_release(&m->pre_tokenizer);
    bpe_memory_free(m->bpe);
    strbuf_release(&m->repaired);
    mem_free(m);
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    for (struct tokenizer_memory *m = t->idle, *next; m; m = next) {
        next = m->next;
        memory_free(m);
    }
    pthread_mutex_destroy(&t->lock);
    for (int i = 0; i < t->file_count; i++) {
        mem_free(t->files[i].name);
        mem_free(t->files[i].text);
    }
    mem_free(t->chat_template);
    decoder_release(&t->decoder);
    added_tokens_release(&t->added);
    steps_release(&t->pre_tokenizer);
    steps_release(&t->normalizer);
    bpe_release(&t->bpe);
    vocab_release(&t->vocab);
    mem_free(t);
}

/* Memory is handed from one call to the next, because it remembers the words that it has seen. */
static struct tokenizer_memory *take_memory(const struct tokenizer *constant)
{
    struct tokenizer *t = (struct tokenizer *)constant; /* the lock and what it guards are no part of its value */
    pthread_mutex_lock(&t->lock);
    struct tokenizer_memory *m = t->idle;
    if (m)
        t->idle = m->next;
    pthread_mutex_unlock(&t->lock);
    if (m)
        return m;
    m = mem_alloc(sizeof *m);
    steps_memory_init(&m->normalizer);
    steps_memory_init(&m->pre_tokenizer);
    strbuf_init(&m->repaired);
    m->bpe = bpe_memory_new();
    return m;
}

static void give_memory(const struct tokenizer *constant, struct tokenizer_memory *m)
{
    struct tokenizer *t = (struct tokenizer *)constant;
    pthread_mutex_lock(&t->lock);
    m->next = t->idle;
    t->idle = m;
    pthread_mutex_unlock(&t->lock);
}

/* One call of encode on its way through added tokens, normaliser, added tokens, pre-tokenizer and model. */
struct encoding {
    const struct tokenizer *t;
    struct tokenizer_memory *m;
    struct token_list *out;
};

static void encode_word(void *context, const char *word, size_t size, bool first)
{
    (void)first;
    struct encoding *x = context;
    bpe_encode(&x->t->bpe, x->m->bpe, word, size, x->out);
}

static void encode_normalized(void *context, const char *text, size_t size, bool first)
{
    struct encoding *x = context;
    struct added_walk w;
    added_walk_init(&w, &x->t->added, true, text, size);
    while (added_walk_next(&w))
        if (w.token)
            token_list_add(x->out, w.token->id);
        else
            steps_run(&x->t->pre_tokenizer, &x->m->pre_tokenizer, text + w.start, w.end - w.start, first && !w.start,
                      encode_word, x);
}

static void encode_valid(struct encoding *x, const char *text, size_t size)
{
    struct added_walk w;
    added_walk_init(&w, &x->t->added, false, text, size);
    while (added_walk_next(&w))
        if (w.token)
            token_list_add(x->out, w.token->id);
        else
            steps_run(&x->t->normalizer, &x->m->normalizer, text + w.start, w.end - w.start, !w.start,
                      encode_normalized, x);
}

void tokenizer_encode(const struct tokenizer *t, const char *text, size_t size, struct token_list *out,
                      size_t *replaced)
{
    struct encoding x = {t, take_memory(t), out};
    size_t bad = 0;
    if (utf8_valid_prefix(text, size) != size) {
        strbuf_clear(&x.m->repaired);
        bad = utf8_append_repaired(&x.m->repaired, text, size);
        text = x.m->repaired.data;
        size = x.m->repaired.size;
    }
    encode_valid(&x, text, size);
    give_memory(t, x.m);
    if (replaced)
        *replaced = bad;
}

/* What decoding starts from: an added token that was sought normalised is given back normalised, and then is no longer
 * the special token, as `tokenizers` has it. NULL: skip it. */
static const char *piece_to_decode(const struct tokenizer *t, uint32_t id, bool skip_special, size_t *size)
{
    const struct added_token *a = added_tokens_by_id(&t->added, id);
    if (!a)
        return vocab_piece(&t->vocab, id, size);
    if (skip_special && a->special && !strcmp(a->normalized, a->content))
        return NULL;
    *size = strlen(a->normalized);
    return a->normalized;
}

void tokenizer_decode(const struct tokenizer *t, const uint32_t *ids, size_t count, bool skip_special,
                      struct strbuf *out)
{
    struct pieces p;
    pieces_init(&p);
    for (size_t i = 0; i < count; i++) {
        size_t size;
        const char *piece = piece_to_decode(t, ids[i], skip_special, &size);
        if (piece)
            pieces_add(&p, piece, size);
    }
    decoder_run(&t->decoder, &p, out);
    pieces_release(&p);
}

uint32_t tokenizer_size(const struct tokenizer *t)
{
    return t->size;
}

const char *tokenizer_piece(const struct tokenizer *t, uint32_t id)
{
    size_t size;
    const struct added_token *a = added_tokens_by_id(&t->added, id);
    return a ? a->content : vocab_piece(&t->vocab, id, &size);
}

bool tokenizer_is_special(const struct tokenizer *t, uint32_t id)
{
    const struct added_token *a = added_tokens_by_id(&t->added, id);
    return a && a->special;
}

bool tokenizer_find(const struct tokenizer *t, const char *piece, uint32_t *id)
{
    uint32_t found = TOKEN_NONE;
    for (size_t i = 0; i < t->added.count && found == TOKEN_NONE; i++)
        if (!strcmp(t->added.tokens[i].content, piece))
            found = t->added.tokens[i].id;
    if (found == TOKEN_NONE)
        found = vocab_find(&t->vocab, piece, strlen(piece));
    if (found != TOKEN_NONE)
        *id = found;
    return found != TOKEN_NONE;
}

int64_t tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

int64_t tokenizer_eos(const struct tokenizer *t)
{
    return t->eos;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return t->adds_bos;
}

const char *tokenizer_chat_template(const struct tokenizer *t)
{
    return t->chat_template;
}

uint64_t tokenizer_hash(const struct tokenizer *t)
{
    return t->hash;
}

int tokenizer_compare(const struct tokenizer *a, const char *name_a, const struct tokenizer *b, const char *name_b,
                      struct err *e)
{
    uint32_t both = a->size < b->size ? a->size : b->size;
    for (uint32_t id = 0; id < both; id++) {
        const char *x = tokenizer_piece(a, id), *y = tokenizer_piece(b, id);
        if (!x || !y)
            continue;
        if (strcmp(x, y))
            return err_set(e, ERR_INPUT,
                           "token %u is \"%.100s\" in %.300s and \"%.100s\" in %.300s: the two need equal "
                           "tokenizers",
                           id, x, name_a, y, name_b);
        if (tokenizer_is_special(a, id) != tokenizer_is_special(b, id))
            return err_set(e, ERR_INPUT,
                           "token %u, \"%.100s\", is a special token in %.300s and not in %.300s: the two "
                           "need equal special tokens",
                           id, x, tokenizer_is_special(a, id) ? name_a : name_b,
                           tokenizer_is_special(a, id) ? name_b : name_a);
    }
    return 0;
}

void tokenizer_keep_file(struct tokenizer *t, const char *name, const void *text, size_t size)
{
    struct tokenizer_file *f = &t->files[t->file_count++];
    f->name = mem_strdup(name);
    f->text = mem_array(size + 1, 1);
    memcpy(f->text, text, size);
    f->size = size;
}

int tokenizer_write(const struct tokenizer *t, const char *directory, struct err *e)
{
    int rc = file_make_directories(directory, e);
    for (int i = 0; !rc && i < t->file_count; i++) {
        char *path = file_join(directory, t->files[i].name);
        rc = file_write(path, t->files[i].text, t->files[i].size, e);
        mem_free(path);
    }
    return rc;
}
