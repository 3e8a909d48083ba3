package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/wabastream/wabastream/server/internal/logtool"
)

func newLogRebuildAccountsCommand(environ []string) *cobra.Command {
	at := &location{environ: environ}
	command := &cobra.Command{
		Use:   "rebuild-accounts",
		Short: "Make the state of accounts again from the log",
		Long: `Make the state of accounts again, which the server keeps beside the events: from what
it keeps of events that retention has removed, and all that the log holds. It says how
many values were not as they should have been, which is none unless there was damage.

A server does this by itself when a new release keeps something else. What was there
stays until all of it is made; interrupting changes nothing.`,
		Example: `  wabastreamd log rebuild-accounts

  # Of a copy, to see whether anything differs.
  wabastreamd log rebuild-accounts --data-dir /backups/nightly`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, _ []string) error {
			folder, err := at.folder(command)
			if err != nil {
				return err
			}
			show, finish := newProgress(command.ErrOrStderr(), "rebuild-accounts")
			done, err := logtool.RebuildAccounts(command.Context(), folder, show)
			finish()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(command.OutOrStdout(), "the state of accounts was made again, up to event %d: %d values differed\n", done.Events, done.Differences)
			return err
		},
	}
	at.addFlags(command)
	return command
}
