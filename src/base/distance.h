/* How far two words are apart, for "did you mean". */
#ifndef RETORT_BASE_DISTANCE_H
#define RETORT_BASE_DISTANCE_H

/* Levenshtein's distance: letters changed, dropped or added. The words may be of any length. */
int edit_distance(const char *a, const char *b);

#endif
