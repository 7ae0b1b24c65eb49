/* A cursor walks over bytes that we did not write: headers of model files, records, checkpoints.
 *
 * Every read is bounds-checked; numbers are little-endian. The first failure sticks: later reads return zero and change
 * nothing, so a parser reads a whole header and asks cursor_ok() once. It never allocates and never copies. */
#ifndef RETORT_BASE_CURSOR_H
#define RETORT_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
    const unsigned char *at, *end; /* borrowed; at <= end always */
    bool failed;
};

/* bytes [data, data + size) must outlive the cursor. */
void cursor_init(struct cursor *c, const void *data, size_t size);

/* The next number, or 0 once the cursor has failed. */
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
float cursor_f32(struct cursor *c);
double cursor_f64(struct cursor *c);

/* The next n bytes, in place, or NULL if fewer are left (n may be any value that a file claims). */
const void *cursor_bytes(struct cursor *c, uint64_t n);

/* count * size bytes, where both come from the file: the product is checked, too. */
const void *cursor_array(struct cursor *c, uint64_t count, size_t size);

size_t cursor_left(const struct cursor *c);

/* True if no read has failed. A header that must fill its bytes also checks cursor_left() == 0. */
bool cursor_ok(const struct cursor *c);

#endif
