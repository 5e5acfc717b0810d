/* stamp FILE MS LABEL: wait MS milliseconds, and append LABEL, when this began, and when it ended.
 * stamp FILE: write the time into FILE ten thousand times a second, for as long as this lives.
 * Times are CLOCK_MONOTONIC in nanoseconds; C and linked statically, because what this program needs to start is counted as part of a
 * hand-over. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int pulse(const char *file) {
  struct timespec pause = {0, 100000};
  char line[64];
  int fd = open(file, O_WRONLY | O_CREAT, 0600);
  while (fd >= 0) {
    int n = snprintf(line, sizeof line, "%20lld\n", now());
    if (pwrite(fd, line, n, 0) != n) break;
    nanosleep(&pause, NULL);
  }
  return 1;
}

int main(int argc, char **argv) {
  long long start = now();
  if (argc == 2) return pulse(argv[1]);
  if (argc != 4) return 64;
  long ms = atol(argv[2]);
  struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
  int fd = open(argv[1], O_WRONLY | O_APPEND | O_CREAT, 0600);
  char line[128];
  nanosleep(&pause, NULL);
  int n = snprintf(line, sizeof line, "%s %lld %lld\n", argv[3], start, now());
  return fd < 0 || write(fd, line, n) != n;
}
