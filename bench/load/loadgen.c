// Load for a relay, by the real protocol: loadgen MODE name=value...
//
//   bulk      as much as goes, or rate=MBIT in messages of chunk= bytes; both=1 sends both
//             ways; verify=1 checks every byte; bytes=N ends after so many a direction
//   messages  as many as go, of size= bytes; both=1, verify=1 as above; lengths are always
//             checked; messages=N ends after so many a direction
//   pingpong  messages of size= bytes go to and fro; interval_us=, fifo=1, sleep=1
//   idle      opens sessions=, says READY after every step= of them, waits seconds=;
//             beat=S sends one byte each S seconds, for relays that end silent sessions
//
// Everywhere: host port key uuids sessions first source addresses seconds warm pid.
// messages, pingpong and idle: a=ws and b=ws let a side come by WebSocket, to wsport=
// (port+2).  Bytes are sent by A, if only one side does.
// uuids= names a file with one a line, - is stdin, which may come bit by bit.
// One line of JSON on stdout is the result; see bench/README.md.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "modes.h"

// One byte from A to B in each of the first `open` sessions that was silent for beat_s.
static void beat(struct sessions *sessions, int open, double beat_s, double *heard_s) {
    for (int i = 0; beat_s && i < open; i++) {
        u8 sent = (u8)i, got = (u8)~sent;
        if (!heard_s[i])
            heard_s[i] = now_s();
        if (now_s() - heard_s[i] < beat_s)
            continue;
        heard_s[i] = now_s();
        write_whole(sessions->list[i].fd[0], &sent, 1);
        if (!read_whole(sessions->list[i].fd[1], &got, 1, 10) || got != sent) {
            fprintf(stderr, "idle session %d was lost\n", i);
            exit(3);
        }
    }
}

static int idle_run(struct sessions *sessions) {
    int step = (int)number_option("step", sessions->count);
    double seconds = number_option("seconds", 1), beat_s = number_option("beat", 0);
    double *heard_s = allocate((size_t)sessions->count, sizeof *heard_s);
    options_end();
    if (beat_s)
        sessions_need_tcp(sessions, "beat");
    for (int open = 0; open < sessions->count; open += step) {
        int to = open + step < sessions->count ? open + step : sessions->count;
        sessions_open(sessions, open, to);
        printf("READY %d\n", to);
        fflush(stdout);
        beat(sessions, to, beat_s, heard_s);
    }
    for (double until_s = now_s() + seconds; now_s() < until_s; usleep(10000))
        beat(sessions, sessions->count, beat_s, heard_s);
    printf("{\"sessions\":%d}\n", sessions->count);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct sessions *sessions);
} MODES[] = {
    {"bulk", bulk_run},
    {"messages", messages_run},
    {"pingpong", pingpong_run},
    {"idle", idle_run},
};

int main(int argc, char **argv) {
    struct sessions sessions;
    const char *mode = argc > 1 ? argv[1] : "";
    prepare_process();
    options_begin(argc > 1 ? argc - 1 : argc, argc > 1 ? argv + 1 : argv);
    for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++)
        if (!strcmp(mode, MODES[i].name)) {
            sessions_options(&sessions, 1);
            return MODES[i].run(&sessions);
        }
    fprintf(stderr, "usage: loadgen bulk|messages|pingpong|idle name=value...\n");
    return 2;
}
