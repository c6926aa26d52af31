/* SPDX-License-Identifier: Apache-2.0 */
/* Asking for a secret: see prompt.h. */
#include "cli/prompt.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
enum { SIGNALS = sizeof signals / sizeof *signals };

static struct sigaction before[SIGNALS];
static struct termios shown;
static volatile sig_atomic_t asking;

static void
hide(void)
{
	struct termios t = shown;

	t.c_lflag &= ~(tcflag_t)ECHO;
	t.c_lflag |= ECHONL;	/* the end of the line is nobody's secret */
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &t);
}

/* Only what a handler may call. After a stop the signal's own way has been gone, and
 * the terminal is ours again. */
static void
give_back(int signo)
{
	int saved = errno;
	sigset_t one;

	tcsetattr(STDIN_FILENO, TCSANOW, &shown);
	sigemptyset(&one);
	sigaddset(&one, signo);
	signal(signo, SIG_DFL);
	raise(signo);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	signal(signo, give_back);
	hide();
	errno = saved;
}

void
prompt_begin(const char *text)
{
	struct sigaction sa = { .sa_handler = give_back };

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &shown) < 0)
		return;
	asking = 1;
	sigemptyset(&sa.sa_mask);
	for (int i = 0; i < SIGNALS; i++) {
		sigaction(signals[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &sa, NULL);
	}
	hide();
	/* Where it cannot be shown, it is waited for all the same. */
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		return;
}

void
prompt_end(void)
{
	int saved = errno;

	if (!asking)
		return;
	tcsetattr(STDIN_FILENO, TCSANOW, &shown);
	for (int i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &before[i], NULL);
	asking = 0;
	errno = saved;
}
