/*
 * Lets User Mode Linux sleep while it is suspended. scripts/lab-vm loads it before linux.uml.
 *
 * Linux 6.1 waits for a signal only while its timer is set. A suspended kernel has no timer set, so
 * it would wake at once. Here it sleeps for as long as the file LAB_VM_ASLEEP exists.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int idle; /* the kernel has taken its timer back */

int timer_settime(timer_t timer, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	int (*next)(timer_t, int, const struct itimerspec *, struct itimerspec *) =
		dlsym(RTLD_NEXT, "timer_settime");

	idle = new->it_value.tv_sec == 0 && new->it_value.tv_nsec == 0;
	return next(timer, flags, new, old);
}

/* The kernel asks here whether its timer is set. */
int timer_gettime(timer_t timer, struct itimerspec *value)
{
	int (*next)(timer_t, struct itimerspec *) = dlsym(RTLD_NEXT, "timer_gettime");

	while (idle && access(getenv("LAB_VM_ASLEEP"), F_OK) == 0)
		usleep(1000);
	return next(timer, value);
}
