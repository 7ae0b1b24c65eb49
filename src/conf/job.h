/* The job: one YAML file, resolved. Parsed by one table per section (field.h), which also checks, prints and documents.
 *
 * conf knows text, types, ranges, choices and whether ranks add up; it opens no model and no data. Paths are absolute
 * once resolved: input paths relative to the job file; output, labels.store and --set values relative to the current
 * directory (SEMANTICS, Who runs what). */
#ifndef RETORT_CONF_JOB_H
#define RETORT_CONF_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"

enum job_mode { MODE_DISTILL, MODE_PRECOMPUTE, MODE_FINETUNE, MODE_EVALUATE };
enum job_precision { JOB_F32, JOB_BF16, JOB_INT8, JOB_NF4 };
enum job_method { METHOD_FULL, METHOD_LORA, METHOD_QLORA };
enum job_lora_init { LORA_INIT_DEFAULT, LORA_INIT_PISSA, LORA_INIT_OLORA, LORA_INIT_LOFTQ };
enum job_format { FORMAT_TEXT, FORMAT_COMPLETION, FORMAT_CHAT };
enum job_source { SOURCE_STREAM, SOURCE_STORE, SOURCE_LOCAL };
enum job_encoding { ENCODING_SAMPLED, ENCODING_RANDOM, ENCODING_TOP_K, ENCODING_HIDDEN };
enum job_values { JOB_VALUES_U8, JOB_VALUES_F16, JOB_VALUES_F32 };
enum job_loss { LOSS_FORWARD_KL, LOSS_REVERSE_KL, LOSS_JSD };
enum job_schedule { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE };
enum job_optimizer { OPTIMIZER_ADAMW };
enum job_after_cache { AFTER_CACHE_IDLE, AFTER_CACHE_JOIN };

struct job_group {
    int replicas; /* 0: auto */
    int tensor_parallel, pipeline_parallel;
};

struct job_file {
    char *path;
    enum job_format format;
};
struct job_files {
    struct job_file *items;
    int count;
};
struct job_strings {
    char **items;
    int count;
};

struct job {
    char *name;
    enum job_mode mode;
    int64_t seed;
    char *output;

    struct {
        struct job_group teacher, student;
        int threads; /* 0: auto */
        enum job_after_cache after_cache;
    } ranks;

    struct {
        char *model, *adapter; /* NULL: none */
        enum job_precision precision;
    } teacher;

    struct {
        char *model, *adapter;
        enum job_precision precision;
        enum job_method method;
        struct {
            int rank;
            double alpha, dropout;
            struct job_strings targets;
            enum job_lora_init init;
            bool rslora;
        } lora;
    } student;

    struct {
        struct job_files train, validation;
        int sequence_length;
        char *template_name; /* data.template; NULL: auto */
        char *system_prompt; /* NULL: the template's own */
        bool append_eos;
        int64_t pack_seed;
    } data;

    struct {
        enum job_source source;
        char *store;
        bool cache;
        struct {
            enum job_encoding kind;
            double threshold;
            int64_t k, draws;
            enum job_values values;
        } encoding;
        int window;
        int64_t seed;
        bool allow_partial, whole_corpus;
        int part, parts; /* labels.part: k/n; 0/0: none */
    } labels;

    struct {
        enum job_loss loss;
        double temperature, alpha;
        double beta; /* resolved: 1 - alpha where not given */
        bool temperature_squared;
    } distill;

    struct {
        int64_t steps, batch_tokens;
        int64_t micro_batch_tokens; /* 0: auto */
        int64_t memory_limit;       /* bytes a rank; 0: none */
        struct {
            enum job_optimizer name;
            double learning_rate, betas[2], eps, weight_decay;
        } optimizer;
        struct {
            enum job_schedule name;
            int64_t warmup_steps;
            double final_ratio;
        } schedule;
        double clip_norm;                         /* 0: no clipping */
        int64_t evaluate_every, checkpoint_every; /* 0: never */
        int keep_checkpoints;
    } train;

    void *memory; /* owns every string; private to conf, with the position of every key */
};

/* One "key=value" from --set. */
struct job_override {
    const char *text;
};

/* Parses text[size] (name: the job file's path as the user gave it; stands in errors), then overrides. Every error is
 * ERR_USAGE "file:line:col: key: what is wrong, what is allowed"; for overrides "--set key: ...". A key that is missing
 * is reported at the mapping where it would stand. Every rank parses the same bytes, so this is local.
 *
 * The value of an override is YAML: a scalar or a flow collection. It replaces the key's value; a mapping replaces all
 * that stands below its key (what it does not name is the default again). The last override of a key counts. An
 * override of labels.encoding.kind takes the file's keys of other kinds out of use. */
int job_parse(struct job **out, const char *text, size_t size, const char *name, const struct job_override *overrides,
              int count, struct err *e);
void job_free(struct job *job);

/* "file:line:col: teacher.model" for a key that was in the file, "--set teacher.model" for an override, "teacher.model"
 * for a default: the beginning of an error about a value that only a later step can find wrong. Returned text lives as
 * long as the job. */
const char *job_where(const struct job *job, const char *key);

/* The resolved job as YAML: every key with its value, parsable again to the same job. */
void job_print(const struct job *job, struct strbuf *out);

/* True if the run of job a (a run directory's) may be resumed as job b (the one now asked for); else the names of the
 * keys that differ are appended, comma-separated. Some keys are free to differ, and train.steps may grow under a
 * constant schedule (SEMANTICS, an existing run directory). */
bool job_same_run(const struct job *a, const struct job *b, struct strbuf *differing);

/* What this build does not do yet, one line each, appended to out ("job.yaml:7:11: student.method: qlora is not built
 * yet\n"); the number of lines. Only of keys that the job's mode reads. `check` prints them as warnings, `run` refuses
 * with ERR_USAGE. */
int job_unbuilt(const struct job *job, struct strbuf *out);

/* What is allowed and seldom meant, one line each, as in job_unbuilt. `check` prints it, and the log of a run. */
int job_warnings(const struct job *job, struct strbuf *out);

/* Whether the job reads teacher.model, if its mode has a teacher: a store has all that the teacher said, unless the
 * student's side must run the teacher's head itself. */
bool job_needs_teacher(const struct job *job);

/* The input paths that this mode reads, for --files; keys are as job_where takes them ("data.train[0].path"). Returns
 * how many there are; at most room of them are written. Strings live as long as the job. */
struct job_path {
    const char *key, *path;
};
int job_input_paths(const struct job *job, struct job_path *out, int room);

/* The reference of every key ("teacher.precision  f32 | bf16 | ..., default bf16", the help in the next line); if
 * section is not NULL, of that section, group or key alone. -1, ERR_USAGE for an unknown one, naming the nearest. */
int job_keys(const char *section, struct strbuf *out, struct err *e);

#endif
