// Load for a relay, by the real protocol: loadgen MODE name=value...
//
//   bulk      as much as goes, or rate=MBIT in messages of chunk= bytes; both=1 sends both
//             ways; verify=1 checks every byte; bytes=N ends after so many a direction
//   pingpong  messages of size= bytes go to and fro; interval_us=, fifo=1, sleep=1
//   idle      opens sessions=, says READY after every step= of them, waits seconds=
//
// Everywhere: host port key uuids sessions first source addresses seconds warm pid.
// uuids= names a file with one a line, - is stdin, which may come bit by bit.
// One line of JSON on stdout is the result; see bench/README.md.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "modes.h"

static int idle_run(struct sessions *sessions) {
    int step = (int)number_option("step", sessions->count);
    double seconds = number_option("seconds", 1);
    options_end();
    for (int open = 0; open < sessions->count; open += step) {
        int to = open + step < sessions->count ? open + step : sessions->count;
        sessions_open(sessions, open, to);
        printf("READY %d\n", to);
        fflush(stdout);
    }
    usleep((useconds_t)(seconds * 1e6));
    printf("{\"sessions\":%d}\n", sessions->count);
    return 0;
}

int main(int argc, char **argv) {
    struct sessions sessions;
    const char *mode = argc > 1 ? argv[1] : "";
    prepare_process();
    options_begin(argc > 1 ? argc - 1 : argc, argc > 1 ? argv + 1 : argv);
    if (strcmp(mode, "bulk") && strcmp(mode, "pingpong") && strcmp(mode, "idle")) {
        fprintf(stderr, "usage: loadgen bulk|pingpong|idle name=value...\n");
        return 2;
    }
    sessions_options(&sessions, 1);
    if (!strcmp(mode, "bulk"))
        return bulk_run(&sessions);
    if (!strcmp(mode, "pingpong"))
        return pingpong_run(&sessions);
    return idle_run(&sessions);
}
