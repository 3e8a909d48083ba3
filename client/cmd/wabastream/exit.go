package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"

	"github.com/wabastream/wabastream/client"
)

// Exit codes. Scripts branch on them: each keeps its meaning.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitCredentials = 4
	exitNotFound    = 5
	exitExpired     = 6
	exitOtherLog    = 7
	exitRefused     = 8
)

// exitCode is a code and what it means.
type exitCode struct {
	code    int
	meaning string
}

func exitCodes() []exitCode {
	return []exitCode{
		{exitOK, "all went well; also when a signal ended tail"},
		{exitError, "something failed that has no code of its own"},
		{exitUsage, "the command line is wrong, or the server says that what was asked for is"},
		{exitUnreachable, "the server cannot be reached, is not ready, or speaks no TLS"},
		{exitCredentials, "the server wants credentials, refuses those it got, or they do not allow it"},
		{exitNotFound, "there is no event, or whatever was named, with that id"},
		{exitExpired, "events after the cursor were removed by retention (CURSOR_EXPIRED)"},
		{exitOtherLog, "the cursor is of another log, or from beyond this one's end"},
		{exitRefused, "the server answered a callback that was sent with something else than 200"},
	}
}

// codedError is an error that chooses the exit code.
type codedError struct {
	error
	code int
}

func (e codedError) Unwrap() error { return e.error }

// codeOf finds the exit code for what a command returned.
func codeOf(err error) int {
	if err == nil {
		return exitOK
	}
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	if coded, ok := errors.AsType[codedError](err); ok {
		return coded.code
	}
	if refused, ok := errors.AsType[*client.Error](err); ok {
		return codeOfStatus(refused)
	}
	return exitError
}

func codeOfStatus(e *client.Error) int {
	switch e.Reason {
	case client.ReasonCursorExpired:
		return exitExpired
	case client.ReasonCursorLogMismatch, client.ReasonCursorAheadOfLog:
		return exitOtherLog
	case client.ReasonCallbackUnreadable: // what is wrong is not on the command line
		return exitError
	}
	switch e.Code {
	case codes.InvalidArgument:
		return exitUsage
	case codes.Unavailable, codes.DeadlineExceeded:
		return exitUnreachable
	case codes.Unauthenticated, codes.PermissionDenied:
		return exitCredentials
	case codes.NotFound:
		return exitNotFound
	default:
		return exitError
	}
}

func newExitCodesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("The exit code of every command:\n\n")
	for _, e := range exitCodes() {
		fmt.Fprintf(&b, "  %d  %s\n", e.code, e.meaning)
	}
	b.WriteString("\nWhat went wrong is on standard error, in one line that begins with \"wabastream:\".")
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: b.String()}
}
