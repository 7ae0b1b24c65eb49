/* Time for reports and timeouts: monotonic seconds. No number of a result ever depends on it. */
#ifndef RETORT_BASE_CLOCK_H
#define RETORT_BASE_CLOCK_H

double clock_seconds(void);
void clock_sleep(double seconds);

#endif
