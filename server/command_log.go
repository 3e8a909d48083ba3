package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wabastream/wabastream/server/internal/app"
	"github.com/wabastream/wabastream/server/internal/logtool"
)

func newLogCommand(environ []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "log",
		Short: "Look at, verify, export or import the log of a stopped server",
		Long: `Look at, verify, export or import the log of a stopped server, or a backup.

The folder is --data-dir, or what the configuration says, as for the server itself.
While a server runs on it these commands say so and do nothing: stop it, or make a
copy with "wabastream backup" and name that.`,
		Example: `  wabastreamd log info
  wabastreamd log verify --data-dir /backups/nightly
  wabastreamd log export --output events.jsonl
  wabastreamd log import --input events.jsonl --data-dir /var/lib/wabastream-new
  wabastreamd log rebuild-accounts`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newLogInfoCommand(environ), newLogVerifyCommand(environ),
		newLogExportCommand(environ), newLogImportCommand(environ), newLogRebuildAccountsCommand(environ))
	return command
}

// location is where the log is, as flags, environment and file say.
type location struct {
	environ  []string
	flags    *pflag.FlagSet
	lockWait time.Duration
}

func (l *location) addFlags(command *cobra.Command) {
	l.flags = pflag.NewFlagSet("location", pflag.ContinueOnError)
	l.flags.String(configFlag, "", "configuration `file` of the server, YAML")
	l.flags.String("data-dir", app.DefaultConfig().DataDir, "`folder` of the log")
	command.Flags().AddFlagSet(l.flags)
	command.Flags().DurationVar(&l.lockWait, "lock-wait", 0, "how long to wait for another process to release the folder (default not at all)")
	_ = command.MarkFlagDirname("data-dir") // fails only for a flag that does not exist
}

func (l *location) folder(command *cobra.Command) (logtool.Folder, error) {
	config, err := loadConfig(l.flags, l.environ)
	if err != nil {
		return logtool.Folder{}, err
	}
	if l.lockWait < 0 {
		return logtool.Folder{}, fmt.Errorf("--lock-wait: %v; want zero or more", l.lockWait)
	}
	return logtool.Folder{Dir: config.DataDir, LockWait: l.lockWait, Logger: warningsTo(command)}, nil
}

func warningsTo(command *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(command.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: plainErrors}))
}

func newLogInfoCommand(environ []string) *cobra.Command {
	at, asJSON := &location{environ: environ}, false
	command := &cobra.Command{
		Use:   "info",
		Short: "Print what the log holds",
		Long: `Print what the log holds: how many events, from when to when, under which id, and
how much room it takes. Nothing is changed.`,
		Example: `  wabastreamd log info

  # Of a backup, for a script.
  wabastreamd log info --data-dir /backups/nightly --json | jq .events`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, _ []string) error {
			folder, err := at.folder(command)
			if err != nil {
				return err
			}
			info, err := logtool.ReadInfo(command.Context(), folder)
			if err != nil {
				return err
			}
			if asJSON {
				return info.WriteJSON(command.OutOrStdout())
			}
			return info.WriteText(command.OutOrStdout())
		},
	}
	at.addFlags(command)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

func newLogVerifyCommand(environ []string) *cobra.Command {
	at := &location{environ: environ}
	command := &cobra.Command{
		Use:   "verify",
		Short: "Read the whole log and look for damage",
		Long: `Read every event in the log and compare it with its checksum, with its neighbours
and with the index, in both directions. Nothing is changed.

Each problem is printed with the events concerned and what to do about it. The exit
code is 0 if there is none, else 1.`,
		Example: `  wabastreamd log verify

  # Before a backup is moved to the archive.
  wabastreamd log verify --data-dir /backups/nightly && mv /backups/nightly /archive/`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, _ []string) error {
			folder, err := at.folder(command)
			if err != nil {
				return err
			}
			return verify(command, folder)
		},
	}
	at.addFlags(command)
	return command
}

func verify(command *cobra.Command, folder logtool.Folder) error {
	show, finish := newProgress(command.ErrOrStderr(), "verify")
	verdict, err := logtool.Verify(command.Context(), folder, func(problem string) {
		finish()
		fmt.Fprintln(command.OutOrStdout(), problem)
	}, show)
	finish()
	if err != nil {
		return err
	}
	fmt.Fprintf(command.OutOrStdout(), "%d events verified in %s\n", verdict.Events, folder.Dir)
	switch verdict.Problems {
	case 0:
		return nil
	case 1:
		return errors.New("1 problem")
	default:
		return fmt.Errorf("%d problems", verdict.Problems)
	}
}
