/* SPDX-License-Identifier: Apache-2.0 */
/* Asking for a secret on a terminal, which does not show what is typed. */
#ifndef MBUS_CLI_PROMPT_H
#define MBUS_CLI_PROMPT_H

/* If stdin is a terminal: shows the text on stderr, and what is typed from now on is
 * not shown, until prompt_end(). A signal that ends or stops the process gives the
 * terminal back first. Else nothing. One at a time. */
void prompt_begin(const char *text);
void prompt_end(void);

#endif
