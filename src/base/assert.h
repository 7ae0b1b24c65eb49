/* ASSERT: for our own bugs only, never for input or environment. Always on; names the spot and ends the process. */
#ifndef RETORT_BASE_ASSERT_H
#define RETORT_BASE_ASSERT_H

#define ASSERT(condition) ((condition) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__, __func__))

_Noreturn void assert_failed(const char *condition, const char *file, int line, const char *function);

#endif
