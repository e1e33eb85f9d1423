/* main.c -- the program's entry: finds the command and runs it. */
#include <stdio.h>

int main(void)
{
    fputs("usage: vetro COMMAND\n", stderr);
    return 2;
}
