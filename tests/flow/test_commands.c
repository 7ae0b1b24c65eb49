/* The commands around a job: what they print, their JSON documents (DESIGN, Commands), and that they agree with one
 * another. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "flow.h"

static double number(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    if (!json_is_number(value))
        fail_msg("%s is not a number", name);
    return json_number_value(value);
}

/* --- help and slips --- */

static const char *const commands[] = {"run",   "check",    "keys",  "inspect", "tokenize", "data",
                                       "score", "generate", "prune", "export",  "store"};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void help(void **state)
{
    (void)state;
    const struct outcome *o = retort(0, "--help");
    expect_outcome(o, 0, NULL);
    for (int i = 0; i < COMMANDS; i++)
        assert_non_null(strstr(o->out, commands[i]));
    for (int i = 0; i < COMMANDS; i++) {
        o = retort(0, "%s --help", commands[i]);
        expect_outcome(o, 0, NULL);
        assert_non_null(strstr(o->out, "usage: retort "));
        assert_non_null(strstr(o->out, commands[i]));
        assert_string_equal(o->err, "");
    }
}

static void slips(void **state)
{
    (void)state;
    expect_refused(retort(0, "scor"), 2, "scor", "did you mean score?");
    for (int i = 0; i < COMMANDS; i++)
        expect_refused(retort(0, "%s --no-such-option", commands[i]), 2, "--no-such-option", commands[i]);
    expect_refused(retort(0, "score --modle teacher --data text.txt"), 2, "--modle", "did you mean --model?");
    expect_refused(retort(0, "score --model teacher"), 2, "--data");
    expect_refused(retort(0, "score --model teacher --data text.txt --format poem"), 2, "--format", "poem",
                   "completion");
    expect_refused(retort(0, "generate --model teacher --prompt x --max-tokens some"), 2, "--max-tokens", "some");
    expect_refused(retort(0, "generate --model absent --prompt x"), 3, "absent");
    expect_refused(retort(0, "inspect absent"), 3, "absent");
    expect_refused(retort(0, "keys nonsense"), 2, "nonsense");
    expect_refused(retort(0, "data job.yaml --step 0"), 2, "--step");
    expect_refused(retort(0, "prune --model teacher --layers 0,2 --out pruned"), 2, "2");
}

/* --- check and keys --- */

/* The resolved job is a job, and resolved: checking it gives it back. */
static void check(void **state)
{
    (void)state;
    const struct outcome *o = retort(0, "check job.yaml --set train.steps=7 --files");
    expect_outcome(o, 0, NULL);
    char *resolved = mem_strdup(o->out);
    assert_non_null(strstr(resolved, "steps: 7"));
    flow_write("resolved.yaml", "%s", resolved);
    o = retort(0, "check resolved.yaml --files --ranks 4");
    expect_outcome(o, 0, NULL);
    assert_string_equal(o->out, resolved);
    mem_free(resolved);
    expect_refused(retort(0, "check job.yaml --ranks 1"), 2, "ranks.teacher");
    o = retort(0, "check job.yaml --set teacher.model=absent");
    expect_outcome(o, 0, "absent does not exist");
    expect_refused(retort(0, "check job.yaml --files --set teacher.model=absent"), 3, "teacher.model", "absent");
    o = retort(0, "keys train");
    expect_outcome(o, 0, NULL);
    assert_non_null(strstr(o->out, "train.checkpoint_every"));
    assert_null(strstr(o->out, "teacher.model"));
}

/* --- tokenize and data --- */

static void tokenize(void **state)
{
    (void)state;
    flow_write("words.txt", "the end<|im_end|> \xe4\xb8\xad");
    json_t *tokens = expect_json(retort(0, "tokenize --model teacher --file words.txt --json"));
    expect_fields(tokens, "ids", "pieces");
    json_t *ids = json_object_get(tokens, "ids"), *pieces = json_object_get(tokens, "pieces");
    assert_int_equal(json_array_size(ids), json_array_size(pieces));
    char *list = json_dumps(ids, JSON_COMPACT);
    json_t *text = expect_json(retort(0, "tokenize --model teacher --decode '%s' --json", list));
    expect_fields(text, "text");
    assert_string_equal(json_string_value(json_object_get(text, "text")), "the end<|im_end|> \xe4\xb8\xad");
    free(list);
    json_decref(text);
    json_decref(tokens);
}

/* Token i of a sequence is supervised in the document's own order of marks. */
static void expect_sequence(json_t *sequence)
{
    expect_fields(sequence, "seq_id", "ids", "documents", "supervised");
    json_t *ids = json_object_get(sequence, "ids"), *supervised = json_object_get(sequence, "supervised");
    json_t *documents = json_object_get(sequence, "documents");
    assert_in_range(json_array_size(ids), 2, 64);
    assert_int_equal(json_array_size(ids), json_array_size(supervised));
    assert_int_equal(json_integer_value(json_array_get(documents, 0)), 0);
    for (size_t d = 0; d < json_array_size(documents); d++) {
        size_t start = (size_t)json_integer_value(json_array_get(documents, d));
        assert_int_equal(json_integer_value(json_array_get(supervised, start)),
                         0); /* no target at a document's start */
    }
}

static void data(void **state)
{
    (void)state;
    json_t *step = expect_json(retort(0, "data job.yaml --step 3 --json"));
    expect_fields(step, "sequence_length", "sequences");
    json_t *sequences = json_object_get(step, "sequences");
    assert_int_equal(number(step, "sequence_length"), 64);
    assert_int_equal(json_array_size(sequences), 8);
    for (size_t i = 0; i < 8; i++)
        expect_sequence(json_array_get(sequences, i));
    json_decref(step);
    /* marks: the completion and the end of its document, and never the prompt */
    const struct outcome *o = retort(0, "data job.yaml --step 1");
    expect_outcome(o, 0, NULL);
    int marks = 0;
    for (const char *at = o->out; (at = strstr(at, "[[")); at++, marks++) {
        assert_memory_equal(at - 4, " is ", 4);
        assert_non_null(strstr(at, ".<|endoftext|>]]"));
    }
    assert_true(marks >= 8);
    o = retort(0, "data job.yaml --split validation");
    expect_outcome(o, 0, NULL);
    assert_non_null(strstr(o->out, "neither the first"));
}

/* --- score and generate --- */

static void score(void **state)
{
    (void)state;
    json_t *s =
        expect_json(retort(0, "score --model teacher --data data.jsonl --format completion --sequence-length 24 "
                              "--per-token --json"));
    expect_fields(s, "model", "adapter", "tokens", "supervised_tokens", "nll", "perplexity", "accuracy", "sequences");
    double tokens = 0, supervised_tokens = 0, nll = 0;
    size_t i, t;
    json_t *sequence, *value;
    json_array_foreach(json_object_get(s, "sequences"), i, sequence)
    {
        expect_fields(sequence, "ids", "supervised", "logprobs");
        json_t *logprobs = json_object_get(sequence, "logprobs"), *supervised = json_object_get(sequence, "supervised");
        assert_in_range(json_array_size(logprobs), 1, 24);
        assert_true(json_is_null(json_array_get(logprobs, 0)));
        json_array_foreach(logprobs, t, value)
        {
            tokens++;
            if (!json_integer_value(json_array_get(supervised, t)))
                continue;
            supervised_tokens++;
            nll -= json_number_value(value);
        }
    }
    assert_true(tokens == number(s, "tokens") && supervised_tokens == number(s, "supervised_tokens"));
    assert_true(fabs(nll / supervised_tokens - number(s, "nll")) < 1e-6 * number(s, "nll"));
    assert_true(fabs(exp(number(s, "nll")) - number(s, "perplexity")) < 1e-6 * number(s, "perplexity"));
    json_t *two = expect_json(
        retort(2, "score --model teacher --data data.jsonl --format completion --sequence-length 24 --json"));
    expect_fields(two, "model", "adapter", "tokens", "supervised_tokens", "nll", "perplexity", "accuracy");
    assert_true(fabs(number(two, "nll") - number(s, "nll")) < 1e-5 * number(s, "nll"));
    json_decref(two);
    json_decref(s);
}

/* How many tokens of the text the model would itself have said. */
static double count_correct(const char *text, json_t **ids)
{
    flow_write("said.txt", "%s", text);
    json_t *s = expect_json(retort(0, "score --model teacher --data said.txt --per-token --json"));
    *ids = json_incref(json_object_get(json_array_get(json_object_get(s, "sequences"), 0), "ids"));
    double correct = number(s, "accuracy") * number(s, "supervised_tokens");
    json_decref(s);
    return correct;
}

/* A greedy continuation, token by token from the cache, is what the model finds most likely in the whole text at once.
 */
static void generate(void **state)
{
    (void)state;
    enum { TOKENS = 5 }; /* as many as are ASCII, by chance, and so survive as text */
    json_t *g = expect_json(retort(0, "generate --model teacher --prompt Hello --max-tokens %d --json", TOKENS));
    expect_fields(g, "prompt_ids", "ids", "text", "finish");
    assert_string_equal(json_string_value(json_object_get(g, "finish")), "length");
    assert_int_equal(json_array_size(json_object_get(g, "ids")), TOKENS);
    char *whole = mem_printf("Hello%s", json_string_value(json_object_get(g, "text")));
    json_t *of_prompt, *of_whole;
    double before = count_correct("Hello", &of_prompt), after = count_correct(whole, &of_whole);
    /* the text is read back as the same tokens, then EOS */
    size_t prompt = json_array_size(json_object_get(g, "prompt_ids"));
    for (size_t i = 0; i < TOKENS; i++)
        assert_int_equal(json_integer_value(json_array_get(of_whole, prompt + i)),
                         json_integer_value(json_array_get(json_object_get(g, "ids"), i)));
    double said = after - before;
    assert_true(fabs(said - TOKENS) < 1e-3 || fabs(said - TOKENS - 1) < 1e-3); /* and one more if it would end here */
    json_t *two = expect_json(retort(2, "generate --model teacher --prompt Hello --max-tokens %d --json", TOKENS));
    assert_true(json_equal(two, g));
    const struct outcome *o = retort(0, "generate --model teacher --prompt Hello --max-tokens %d", TOKENS);
    assert_non_null(strstr(o->out, json_string_value(json_object_get(g, "text"))));
    json_decref(two);
    json_decref(g);
    json_decref(of_prompt);
    json_decref(of_whole);
    mem_free(whole);
}

/* A draw depends on its seed alone. */
static void generate_sampled(void **state)
{
    (void)state;
    const char *words = "generate --model teacher --prompt Hello --max-tokens 20 --temperature 1 --json --seed";
    json_t *a = expect_json(retort(0, "%s 1", words)), *b = expect_json(retort(0, "%s 1", words));
    json_t *c = expect_json(retort(0, "%s 2", words));
    assert_true(json_equal(a, b));
    assert_false(json_equal(a, c));
    json_decref(a);
    json_decref(b);
    json_decref(c);
}

/* --- prune, export, inspect --- */

static double nll_of(const char *model)
{
    json_t *s = expect_json(retort(0, "score --data text.txt --json --model %s", model));
    double nll = number(s, "nll");
    json_decref(s);
    return nll;
}

static void prune(void **state)
{
    (void)state;
    expect_outcome(retort(0, "prune --model teacher --layers 1 --out one"), 0, NULL);
    expect_outcome(retort(0, "prune --model teacher --layers 0-1 --out both"), 0, NULL);
    assert_true(nll_of("both") == nll_of("teacher"));
    assert_true(nll_of("one") != nll_of("teacher"));
    json_t *about = expect_json(retort(0, "inspect one --json"));
    assert_string_equal(json_string_value(json_object_get(about, "kind")), "model");
    assert_int_equal(json_array_size(json_object_get(about, "tensors")), 3 + 9);
    json_decref(about);
    expect_refused(retort(0, "prune --model teacher --layers 1 --out one"), 4, "one", "not empty");
    expect_same_file("one/tokenizer.json", "teacher/tokenizer.json");
}

/* A merged model is the model beside its adapter, and half the bytes keep the numbers to their precision. */
static void export(void **state)
{
    (void)state;
    train("run", 1,
          "--set labels.source=local --set student.method=lora --set student.lora.rank=4 "
          "--set train.optimizer.learning_rate=0.05");
    double beside = nll_of("student --adapter run/adapter"), plain = nll_of("student");
    assert_true(fabs(beside - plain) > 1e-2); /* the adapter says something */
    expect_outcome(retort(0, "export --model student --adapter run/adapter --format hf --out merged"), 0, NULL);
    assert_true(fabs(nll_of("merged") - beside) < 1e-5 * beside);
    expect_outcome(retort(2, "export --model student --adapter run/adapter --format hf --out merged-by-two"), 0, NULL);
    expect_same_file("merged-by-two/model.safetensors", "merged/model.safetensors");
    expect_outcome(retort(0, "export --model merged --dtype bf16 --out half"), 0, NULL);
    assert_true(fabs(nll_of("half") - beside) < 1e-2 * beside);
    json_t *about = expect_json(retort(0, "inspect run/adapter --json"));
    assert_string_equal(json_string_value(json_object_get(about, "kind")), "adapter");
    assert_int_equal(number(about, "rank"), 4);
    json_decref(about);
}

static void inspect(void **state)
{
    (void)state;
    train("run", 1, "--set labels.source=local --set train.steps=2 --set train.checkpoint_every=2");
    json_t *run = expect_json(retort(0, "inspect run --json"));
    assert_string_equal(json_string_value(json_object_get(run, "kind")), "run");
    assert_int_equal(number(run, "checkpoint"), 2);
    assert_string_equal(json_string_value(json_object_get(run, "result")), "model");
    json_decref(run);
    json_t *checkpoint = expect_json(retort(0, "inspect run/checkpoints/step-000002 --json"));
    assert_string_equal(json_string_value(json_object_get(checkpoint, "kind")), "checkpoint");
    json_decref(checkpoint);
    expect_outcome(retort(0, "inspect run"), 0, NULL);
    expect_refused(retort(0, "inspect text.txt"), 3, "text.txt");
}

/* The sum of an object's numbers. */
static double total(json_t *object)
{
    const char *key;
    json_t *value;
    double sum = 0;
    json_object_foreach(object, key, value) sum += json_number_value(value);
    return sum;
}

/* The parts of a pass make up the whole, and what a method does not do takes no time. */
static void expect_bench(int ranks, const char *words, const char *unused_phase)
{
    json_t *b = expect_json(retort(ranks, "bench %s --sequence-length 16 --repeat 1 --threads 1 --json", words));
    expect_fields(b, "what", "model", "precision", "method", "ranks", "threads", "sequence_length", "sequences",
                  "tokens_per_second", "gflops", "ceiling_gflops", "share", "peak_memory_bytes", "seconds", "phases",
                  "breakdown");
    json_t *phases = json_object_get(b, "phases");
    const double seconds = number(b, "seconds");
    assert_true(fabs(total(phases) / seconds - 1) < 0.2);
    assert_true(fabs(total(json_object_get(b, "breakdown")) / total(phases) - 1) <
                0.02); /* microseconds are the last digit */
    assert_true(number(b, "gflops") > 0 && number(b, "ceiling_gflops") > 0 && number(b, "peak_memory_bytes") > 0);
    assert_null(json_object_get(phases, unused_phase));
    json_decref(b);
}

static void bench(void **state)
{
    (void)state;
    expect_bench(1, "teacher --model teacher", "backward");
    expect_bench(2, "teacher --config teacher/config.json --layers 1", "update");
    expect_bench(1, "student --model student --method lora", "encode");
    expect_bench(2, "student --config student/config.json --precision bf16", "encode");
    expect_bench(1, "head --config student/config.json", "forward");
    expect_bench(1, "gemm --model student", "forward");
    json_t *stream = expect_json(retort(2, "bench stream --sequence-length 16 --json"));
    expect_fields(stream, "what", "ranks", "sequence_length", "tokens_per_second", "bytes_per_second",
                  "ceiling_bytes_per_second", "share");
    json_decref(stream);
    json_t *store = expect_json(retort(1, "bench store --sequence-length 1024 --repeat 1 --json"));
    expect_fields(store, "what", "ranks", "sequence_length", "record_bytes", "bytes_per_second",
                  "ceiling_bytes_per_second", "share", "reads_per_second", "tokens_per_second");
    json_decref(store);
    expect_refused(retort(0, "bench store --directory text.txt"), 4, "text.txt");
    expect_refused(retort(0, "bench teachr --model teacher"), 2, "did you mean teacher?");
    expect_refused(retort(0, "bench teacher"), 2, "--model", "--config");
    expect_refused(retort(0, "bench stream"), 2, "two ranks");
    expect_refused(retort(0, "bench teacher --config none.json"), 3, "none.json");
    expect_refused(retort(2, "bench teacher --model teacher --layers 3"), 2, "layer 2");
    expect_refused(retort(0, "bench student --model student --sequence-length 1"), 2, "--sequence-length");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help),     cmocka_unit_test(slips),
        cmocka_unit_test(check),    cmocka_unit_test(tokenize),
        cmocka_unit_test(data),     cmocka_unit_test(score),
        cmocka_unit_test(generate), cmocka_unit_test(generate_sampled),
        cmocka_unit_test(prune),    cmocka_unit_test(export),
        cmocka_unit_test(inspect),  cmocka_unit_test(bench),
    };
    return flow_main(argc, argv, "commands", tests, sizeof tests / sizeof *tests);
}
