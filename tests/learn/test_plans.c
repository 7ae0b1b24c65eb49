/* What every rank computes alone and all must agree on: the numbering of label items, the learning rate. */
#include "test.h"

#include <math.h>

#include "learn/items.h"
#include "learn/schedule.h"

/* Every item is made once and owned once, in order, whatever the replicas; a resumed run asks for the rest. */
static void items_are_shared_out(void **state)
{
    (void)state;
    for (int students = 1; students <= 4; students++)
        for (int teachers = 1; teachers <= 3; teachers++)
            for (int64_t first = 1; first <= 3; first++) {
                struct items it = {.validation = 5,
                                   .per_step = 3,
                                   .first_step = first,
                                   .steps = 7,
                                   .students = students,
                                   .teachers = teachers};
                int64_t asked = 0, end = items_end(&it);
                assert_int_equal(end, 5 + 21);
                for (int t = 0; t < teachers; t++)
                    for (int64_t i = items_next_made(&it, t, -1); i < end; i = items_next_made(&it, t, i), asked++)
                        assert_int_equal(items_maker(&it, i), t);
                assert_int_equal(asked, 5 + 3 * (8 - first));
                asked = 0;
                for (int s = 0; s < students; s++)
                    for (int64_t i = items_next_owned(&it, s, -1); i < end; i = items_next_owned(&it, s, i), asked++)
                        assert_int_equal(items_owner(&it, i), s);
                assert_int_equal(asked, 5 + 3 * (8 - first));
            }
}

/* The i-th sequence of a step belongs to student i mod R in every step, though 3 is no multiple of 2. */
static void owners_follow_the_place_in_the_step(void **state)
{
    (void)state;
    struct items it = {.validation = 1, .per_step = 3, .first_step = 1, .steps = 2, .students = 2, .teachers = 2};
    const int owners[] = {0, 0, 1, 0, 0, 1, 0}, makers[] = {0, 0, 1, 0, 1, 0, 1};
    for (int i = 0; i < 7; i++) {
        assert_int_equal(items_owner(&it, i), owners[i]);
        assert_int_equal(items_maker(&it, i), makers[i]);
    }
    assert_int_equal(items_of_step(&it, 2), 4);
}

/* 5 sequences, 4 a step: place g of the order is in epoch g / 5. What was there before is never made; what the first
 * two steps have read is not made after them. */
static void stored_items_are_not_made(void **state)
{
    (void)state;
    int64_t validation[] = {ITEM_BEFORE, ITEM_NEVER}, train[5];
    struct items it = {.train = {.seed = 9, .count = 5},
                       .validation = 2,
                       .per_step = 4,
                       .first_step = 1,
                       .steps = 4,
                       .students = 1,
                       .teachers = 1};
    const struct items_stored stored = {{train, validation}, .again = items_of_step(&it, 3)};
    for (int64_t g = 0; g < 5; g++)
        train[order_at(&it.train, g)] = g == 2 ? ITEM_BEFORE : 2 + g;
    it.stored = &stored;
    const int64_t before = order_at(&it.train, 2);
    int64_t made = items_next_made(&it, 0, -1);
    assert_int_equal(made, 1); /* of the validation sequences the second */
    for (int64_t item = 2; item < stored.again; item++) {
        if (order_at(&it.train, item - 2) != before)
            assert_int_equal(made = items_next_made(&it, 0, made), item);
        assert_int_equal(items_is_stored(&it, item), order_at(&it.train, item - 2) == before);
        assert_int_equal(items_next_owned(&it, 0, item - 1), item);
    }
    assert_int_equal(items_next_made(&it, 0, made), items_end(&it));
    train[order_at(&it.train, 3)] = ITEM_NEVER; /* one that nobody has written is made every time */
    int64_t times = 0;
    for (made = stored.again - 1; (made = items_next_made(&it, 0, made)) < items_end(&it); times++)
        assert_int_equal(order_at(&it.train, made - 2), order_at(&it.train, 3));
    assert_in_range(times, 1, 2);
}

static void rate_is(const struct schedule *s, int64_t step, double expected)
{
    assert_true(fabs(schedule_rate(s, step) - expected) < 1e-12);
}

static void rates(void **state)
{
    (void)state;
    struct schedule s = {SCHEDULE_KIND_COSINE, 2.0, 0.1, 10, 110};
    rate_is(&s, 1, 0.2);
    rate_is(&s, 10, 2.0);
    rate_is(&s, 60, 2.0 * (0.1 + 0.9 * 0.5)); /* half way down */
    rate_is(&s, 110, 0.2);
    s.name = SCHEDULE_KIND_LINEAR;
    rate_is(&s, 60, 2.0 * 0.55);
    rate_is(&s, 110, 0.2);
    s.name = SCHEDULE_KIND_CONSTANT;
    rate_is(&s, 110, 2.0);
    s.warmup_steps = 0;
    rate_is(&s, 1, 2.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_shared_out),
        cmocka_unit_test(owners_follow_the_place_in_the_step),
        cmocka_unit_test(stored_items_are_not_made),
        cmocka_unit_test(rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
