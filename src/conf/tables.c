/* Every key of a job. Defaults are YAML and go through the same door as the file's values. */
#include "conf/field.h"

/* The key of a field is the name of its member. */
#define FIELD(kind, member, fallback_) \
    .key = #member, .type = &type_##kind, .offset = offsetof(struct job, member), .fallback = fallback_
#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

/* Who reads a key: what trains, what makes or uses labels, what runs a teacher, a student, the training sequences. */
enum {
    TRAINS = IN_DISTILL | IN_FINETUNE,
    LABELS = IN_DISTILL | IN_PRECOMPUTE,
    TEACHES = IN_DISTILL | IN_PRECOMPUTE | IN_EVALUATE,
    STUDIES = IN_DISTILL | IN_FINETUNE | IN_EVALUATE,
    READS = IN_DISTILL | IN_FINETUNE | IN_PRECOMPUTE
};

/* Bounds that keep absurd numbers out, and products of them within int64; what a machine can do is found out by
 * running. */
#define MOST_RANKS 0x1p20
#define MOST_TOKENS 0x1p24 /* of one sequence */
#define MOST_IDS 0x1p24    /* of a vocabulary */
#define MOST_STEPS 1e9
#define MOST_BATCH_TOKENS 1e9
#define MOST_INTEGER 0x1p63

static const struct choice modes[] = {
    {"distill", MODE_DISTILL, false},
    {"precompute", MODE_PRECOMPUTE, false},
    {"finetune", MODE_FINETUNE, false},
    {"evaluate", MODE_EVALUATE, false},
    {0},
};

static const struct choice after_cache[] = {
    {"idle", AFTER_CACHE_IDLE, false},
    {"join", AFTER_CACHE_JOIN, false},
    {0},
};

static const struct choice precisions[] = {
    {"f32", JOB_F32, false}, {"bf16", JOB_BF16, false}, {"int8", JOB_INT8, true}, {"nf4", JOB_NF4, true}, {0},
};

static const struct choice methods[] = {
    {"full", METHOD_FULL, false},
    {"lora", METHOD_LORA, false},
    {"qlora", METHOD_QLORA, true},
    {0},
};

static const struct choice lora_inits[] = {
    {"default", LORA_INIT_DEFAULT, false},
    {"pissa", LORA_INIT_PISSA, true},
    {"olora", LORA_INIT_OLORA, true},
    {"loftq", LORA_INIT_LOFTQ, true},
    {0},
};

static const struct choice lora_targets[] = {
    {"q_proj", 0, false},    {"k_proj", 0, false},  {"v_proj", 0, false},    {"o_proj", 0, false},
    {"gate_proj", 0, false}, {"up_proj", 0, false}, {"down_proj", 0, false}, {0},
};

static const struct choice formats[] = {
    {"text", FORMAT_TEXT, false},
    {"completion", FORMAT_COMPLETION, false},
    {"chat", FORMAT_CHAT, false},
    {0},
};

static const struct choice sources[] = {
    {"stream", SOURCE_STREAM, false},
    {"store", SOURCE_STORE, false},
    {"local", SOURCE_LOCAL, false},
    {0},
};

static const struct choice encodings[] = {
    {"sampled", ENCODING_SAMPLED, false},
    {"random", ENCODING_RANDOM, false},
    {"top_k", ENCODING_TOP_K, false},
    {"hidden", ENCODING_HIDDEN, false},
    {0},
};

static const struct choice values[] = {
    {"u8", JOB_VALUES_U8, false},
    {"f16", JOB_VALUES_F16, false},
    {"f32", JOB_VALUES_F32, false},
    {0},
};

static const struct choice losses[] = {
    {"forward_kl", LOSS_FORWARD_KL, false},
    {"reverse_kl", LOSS_REVERSE_KL, true},
    {"jsd", LOSS_JSD, true},
    {0},
};

static const struct choice optimizers[] = {{"adamw", OPTIMIZER_ADAMW, false}, {0}};

static const struct choice schedules[] = {
    {"constant", SCHEDULE_CONSTANT, false},
    {"linear", SCHEDULE_LINEAR, false},
    {"cosine", SCHEDULE_COSINE, false},
    {0},
};

/* clang-format off: rows of a table */
static const struct field top[] = {
    {FIELD(text, name, "null"), .none = "null", .min = 1, .modes = IN_ALL,
     .help = "stands in logs and reports; null: the job file's name without its ending"},
    {FIELD(choice, mode, "distill"), .choices = modes, .modes = IN_ALL,
     .help = "distill: a teacher teaches a student; precompute: its labels go to a store; finetune: no teacher; "
             "evaluate: compare teacher, student before and after"},
    {FIELD(int64, seed, "0"), .max = MOST_INTEGER, .modes = IN_ALL,
     .help = "order of the sequences, dropout, initial values"},
    {FIELD(output, output, "null"), .none = "null", .modes = IN_ALL,
     .help = "the run directory, relative to the current directory; null: runs/NAME"},
};

static const struct field ranks[] = {
    {FIELD(int, ranks.teacher.replicas, "1"), .none = "auto", .min = 1, .max = MOST_RANKS, .modes = TEACHES,
     .flags = FIELD_FREE, .help = "whole copies of the teacher; auto: as many as the ranks that are left give"},
    {FIELD(int, ranks.teacher.tensor_parallel, "1"), .min = 1, .max = MOST_RANKS, .modes = TEACHES, .flags = FIELD_FREE,
     .help = "ranks that share each matrix of one copy; at most the number of query heads"},
    {FIELD(int, ranks.teacher.pipeline_parallel, "1"), .min = 1, .max = MOST_RANKS, .modes = TEACHES,
     .flags = FIELD_FREE | FIELD_UNBUILT, .help = "stages of contiguous layers in one copy"},
    {FIELD(int, ranks.student.replicas, "auto"), .none = "auto", .min = 1, .max = MOST_RANKS, .modes = STUDIES,
     .flags = FIELD_FREE, .help = "data-parallel copies of the student; auto: as many as the ranks that are left give"},
    {FIELD(int, ranks.student.tensor_parallel, "1"), .min = 1, .max = MOST_RANKS, .modes = STUDIES, .flags = FIELD_FREE,
     .help = "ranks that share each matrix of one copy; at most the number of query heads"},
    {FIELD(int, ranks.threads, "auto"), .none = "auto", .min = 1, .max = 4096, .modes = IN_ALL, .flags = FIELD_FREE,
     .help = "threads of a rank; auto: the cores that the launch gave it"},
    {FIELD(choice, ranks.after_cache, "idle"), .choices = after_cache, .modes = IN_DISTILL, .flags = FIELD_FREE,
     .help = "what teacher ranks do once every label is in the store: idle, or join the students"},
};

static const struct field teacher[] = {
    {FIELD(input, teacher.model, "null"), .none = "null", .modes = TEACHES, .required = TEACHES,
     .help = "Hugging Face directory or .gguf file; labels.source: store does without, but for hidden labels"},
    {FIELD(input, teacher.adapter, "null"), .none = "null", .modes = TEACHES, .help = "PEFT adapter, applied at load"},
    {FIELD(choice, teacher.precision, "bf16"), .choices = precisions, .modes = TEACHES,
     .help = "of weights and operands of matrix products; sums are f32"},
};

static const struct field student[] = {
    {FIELD(input, student.model, "null"), .none = "null", .modes = IN_ALL, .required = STUDIES,
     .help = "Hugging Face directory or .gguf file; precompute, where it is given, leaves out ids that it lacks"},
    {FIELD(input, student.adapter, "null"), .none = "null", .modes = STUDIES,
     .help = "PEFT adapter from which training starts"},
    {FIELD(choice, student.precision, "bf16"), .choices = precisions, .modes = STUDIES,
     .help = "of operands of matrix products and of the model that is written; trained weights are f32"},
    {FIELD(choice, student.method, "full"), .choices = methods, .modes = STUDIES,
     .help = "full: every weight is trained; lora: low-rank factors beside frozen weights; qlora: beside quantised "
             "ones"},
    {FIELD(int, student.lora.rank, "16"), .min = 1, .max = 65536, .modes = STUDIES,
     .help = "columns of the factor; lora keys mean nothing with method: full"},
    {FIELD(float, student.lora.alpha, "32"), .max = 1e6, .modes = STUDIES,
     .help = "the product of the factors is scaled by alpha / rank"},
    {FIELD(float, student.lora.dropout, "0"), .max = 1, .flags = FIELD_BELOW_MAX, .modes = STUDIES,
     .help = "of the adapter's input, in training"},
    {FIELD(words, student.lora.targets, "[q_proj, v_proj]"), .choices = lora_targets, .modes = STUDIES,
     .help = "linear layers that get factors, in every block"},
    {FIELD(choice, student.lora.init, "default"), .choices = lora_inits, .modes = STUDIES,
     .help = "first values of the factors; default: B is zero, so the student starts as it is"},
    {FIELD(bool, student.lora.rslora, "false"), .modes = STUDIES, .help = "scale by alpha / sqrt(rank)"},
};

static const struct field data[] = {
    {FIELD(files, data.train, "[]"), .choices = formats, .modes = READS, .required = READS,
     .help = "what is trained on"},
    {FIELD(files, data.validation, "[]"), .choices = formats, .modes = IN_ALL, .required = IN_EVALUATE,
     .help = "what is never trained on and only measured"},
    {FIELD(int, data.sequence_length, "2048"), .min = 2, .max = MOST_TOKENS, .unit = "tokens", .modes = IN_ALL,
     .help = "documents are packed to sequences of at most this length"},
    {.key = "data.template",
     .type = &type_text,
     .offset = offsetof(struct job, data.template_name),
     .fallback = "auto",
     .none = "auto",
     .min = 1,
     .modes = IN_ALL,
     .help = "chat template by name; auto: the tokenizer's own; an unknown name is answered with all of them"},
    {FIELD(text, data.system_prompt, "null"), .none = "null", .modes = IN_ALL,
     .help = "of chats that have none; null: the template's default"},
    {FIELD(bool, data.append_eos, "true"), .modes = IN_ALL,
     .help = "end each text and completion with EOS, which is supervised"},
    {FIELD(int64, data.pack_seed, "0"), .max = MOST_INTEGER, .modes = IN_ALL,
     .help = "the order in which documents are packed, whatever the seed of the job"},
};

#define SAMPLED (1u << ENCODING_SAMPLED)
#define RANDOM (1u << ENCODING_RANDOM)
#define TOP_K (1u << ENCODING_TOP_K)

static const struct field labels[] = {
    {FIELD(choice, labels.source, "stream"), .choices = sources, .modes = IN_DISTILL | IN_EVALUATE, .flags = FIELD_FREE,
     .help = "stream: from teacher ranks; store: from disk; local: every student replica runs the teacher itself"},
    {FIELD(output, labels.store, "null"), .none = "null", .modes = LABELS, .required = IN_PRECOMPUTE,
     .flags = FIELD_FREE,
     .help = "directory of labels, relative to the current directory; precompute and cache write it, source: store "
             "reads it"},
    {FIELD(bool, labels.cache, "false"), .modes = IN_DISTILL, .flags = FIELD_FREE,
     .help = "streamed labels go to the store as well, and what it has is not made again"},
    {FIELD(choice, labels.encoding.kind, "sampled"), .choices = encodings, .modes = LABELS,
     .help = "sampled: likely ids exactly, the rest by unbiased draws; random: draws alone; top_k: the k likeliest and"
             " the rest as one class; hidden: the teacher's last state"},
    {FIELD(float, labels.encoding.threshold, "0.02"), .min = 1e-6, .max = 1, .modes = LABELS, .kinds = SAMPLED,
     .help = "ids at least this likely are kept exactly"},
    {FIELD(int64, labels.encoding.k, "50"), .min = 1, .max = MOST_IDS, .unit = "ids", .modes = LABELS, .kinds = TOP_K,
     .help = "ids kept; the whole vocabulary with values: f32 is the exact distribution"},
    {FIELD(int64, labels.encoding.draws, "50"), .min = 1, .max = MOST_IDS, .unit = "ids", .modes = LABELS,
     .kinds = RANDOM, .help = "draws with replacement"},
    {FIELD(choice, labels.encoding.values, "u8"), .choices = values, .modes = LABELS,
     .help = "numbers of a label: u8 on a log scale, f16 or f32; hidden takes f16 or f32"},
    {FIELD(int, labels.window, "4"), .min = 1, .max = 65536, .unit = "sequences", .modes = IN_DISTILL,
     .flags = FIELD_FREE, .help = "how far teachers may run ahead of each student replica"},
    {FIELD(int64, labels.seed, "0"), .max = MOST_INTEGER, .modes = LABELS,
     .help = "of the draws, whatever the seed of the job"},
    {FIELD(bool, labels.allow_partial, "false"), .modes = IN_DISTILL,
     .help = "train from a store that lacks some sequences, without these"},
    {FIELD(bool, labels.whole_corpus, "false"), .modes = IN_PRECOMPUTE,
     .help = "label every sequence, not only those that train.steps would read"},
    {FIELD(part, labels.part, "null"), .none = "null", .modes = IN_PRECOMPUTE,
     .help = "the k-th of n jobs that share the work; null: in a Slurm array its own, else all"},
};

static const struct field distill[] = {
    {FIELD(choice, distill.loss, "forward_kl"), .choices = losses, .modes = IN_DISTILL,
     .help = "the soft part of the loss; total = alpha * T^2 * soft + beta * cross-entropy"},
    {FIELD(float, distill.temperature, "1"), .min = 0.01, .max = 100, .modes = LABELS,
     .help = "T of teacher and student in the soft part; labels are drawn at it"},
    {FIELD(float, distill.alpha, "0.7"), .max = 1e6, .modes = IN_DISTILL, .help = "weight of the soft part"},
    {FIELD(float, distill.beta, "null"), .none = "null", .max = 1e6, .modes = IN_DISTILL,
     .help = "weight of the cross-entropy; null: 1 - alpha"},
    {FIELD(bool, distill.temperature_squared, "true"), .modes = IN_DISTILL,
     .help = "multiply the soft part by T^2, so that its gradient keeps its size"},
};

static const struct field train[] = {
    {FIELD(int64, train.steps, "null"), .none = "null", .min = 1, .max = MOST_STEPS, .modes = READS, .required = READS,
     .help = "updates of the weights; may grow at resume under a constant schedule"},
    {FIELD(int64, train.batch_tokens, "262144"), .min = 2, .max = MOST_BATCH_TOKENS, .unit = "tokens", .modes = READS,
     .help = "a step of all ranks together; a multiple of data.sequence_length"},
    {FIELD(int64, train.micro_batch_tokens, "auto"), .none = "auto", .min = 2, .max = MOST_BATCH_TOKENS,
     .unit = "tokens", .modes = TRAINS, .flags = FIELD_FREE,
     .help = "what a replica has in memory at once; a multiple of data.sequence_length"},
    {FIELD(size, train.memory_limit, "null"), .none = "null", .min = 1, .max = MOST_INTEGER, .modes = TRAINS,
     .flags = FIELD_FREE, .help = "of one student rank: activations that do not fit are computed twice"},
    {FIELD(choice, train.optimizer.name, "adamw"), .choices = optimizers, .modes = TRAINS,
     .help = "AdamW with sliced state"},
    {FIELD(float, train.optimizer.learning_rate, "0.0002"), .max = 1000, .modes = TRAINS,
     .help = "the peak, after warm-up"},
    {FIELD(pair, train.optimizer.betas, "[0.9, 0.95]"), .max = 1, .flags = FIELD_BELOW_MAX, .modes = TRAINS,
     .help = "decay of the first and second moment"},
    {FIELD(float, train.optimizer.eps, "1e-08"), .min = 1e-30, .max = 1, .modes = TRAINS,
     .help = "added to the root of the second moment"},
    {FIELD(float, train.optimizer.weight_decay, "0"), .max = 1000, .modes = TRAINS,
     .help = "of matrices; norms and biases have none"},
    {FIELD(choice, train.schedule.name, "cosine"), .choices = schedules, .modes = TRAINS,
     .help = "the learning rate after warm-up"},
    {FIELD(int64, train.schedule.warmup_steps, "0"), .max = MOST_STEPS, .modes = TRAINS,
     .help = "steps in which the learning rate rises linearly"},
    {FIELD(float, train.schedule.final_ratio, "0.1"), .max = 1, .modes = TRAINS,
     .help = "last learning rate over the peak (linear, cosine)"},
    {FIELD(float, train.clip_norm, "1"), .max = 1e12, .modes = TRAINS,
     .help = "longest gradient, as a global norm; 0: any"},
    {FIELD(int64, train.evaluate_every, "200"), .max = MOST_STEPS, .unit = "steps", .modes = TRAINS,
     .flags = FIELD_FREE, .help = "between two validations; 0: none"},
    {FIELD(int64, train.checkpoint_every, "200"), .max = MOST_STEPS, .unit = "steps", .modes = TRAINS,
     .flags = FIELD_FREE, .help = "between two checkpoints; 0: none"},
    {FIELD(int, train.keep_checkpoints, "3"), .min = 1, .max = 1e6, .modes = TRAINS, .flags = FIELD_FREE,
     .help = "the newest that stay"},
};

/* clang-format on */

#define SECTION(name, help)            \
    {                                  \
#name, help, name, COUNT(name) \
    }

const struct section sections[] = {
    {"", "the job", top, COUNT(top)},
    SECTION(ranks, "how the ranks of the launch are used"),
    SECTION(teacher, "the model that is imitated"),
    SECTION(student, "the model that learns"),
    SECTION(data, "what is read; input paths are relative to the job file"),
    SECTION(labels, "what the teacher says of each token, and how it gets to the student"),
    SECTION(distill, "the loss"),
    SECTION(train, "steps, optimizer, schedule, and what is written on the way"),
};

/* type_part writes both */
_Static_assert(offsetof(struct job, labels.parts) == offsetof(struct job, labels.part) + sizeof(int),
               "k and n side by side");

const int section_count = COUNT(sections);
