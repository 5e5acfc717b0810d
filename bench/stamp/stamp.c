/* stamp FILE MS: append the time, wait MS milliseconds, append the time again. Times are CLOCK_MONOTONIC in nanoseconds; C and
 * linked statically, because what this program needs to start is counted as part of a hand-over. */
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

int main(int argc, char **argv) {
  long long start = now();
  if (argc != 3) return 64;
  long ms = atol(argv[2]);
  struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
  int fd = open(argv[1], O_WRONLY | O_APPEND | O_CREAT, 0600);
  char line[64];
  nanosleep(&pause, NULL);
  int n = snprintf(line, sizeof line, "%lld %lld\n", start, now());
  return fd < 0 || write(fd, line, n) != n;
}
