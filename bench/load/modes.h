// The modes of loadgen; each returns the program's exit status.
#ifndef BENCH_MODES_H
#define BENCH_MODES_H
#include "sessions.h"

int bulk_run(struct sessions *sessions);
int messages_run(struct sessions *sessions);
int pingpong_run(struct sessions *sessions);
#endif
