package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/wabastream/wabastream/server/internal/app"
	"github.com/wabastream/wabastream/server/internal/logtool"
)

func newLogExportCommand(environ []string) *cobra.Command {
	at, options, format := &location{environ: environ}, logtool.ExportOptions{}, ""
	command := &cobra.Command{
		Use:   "export",
		Short: "Write the events to a file",
		Long: `Write every event that the log holds, in log order, to a file or to standard output.
Nothing in the folder is changed.

jsonl is one line of JSON for each event: the event as the API shows it, raw_json
included, under "event", and under "duplicateHorizon" for how long its callback is
recognised when it is delivered again. protobuf is the same in binary form, as
wabastream.v1.ExportedEvent with its length before it as a varint. Cursors are left
out: they belong to this one log. Before the events stand lines with "state": what the
server keeps of events that retention has removed, such as how accounts stand.

An export to a file that was cut off is continued with --resume, behind the last
whole event in the file.`,
		Example: `  # To a file. Again, if it was cut off, or if there are new events.
  wabastreamd log export --output events.jsonl
  wabastreamd log export --output events.jsonl --resume

  # How many events of each type there are.
  wabastreamd log export | jq -r '.event.type // empty' | sort | uniq -c

  # Small, and fast to import.
  wabastreamd log export --format protobuf | zstd > events.pb.zst`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, _ []string) error {
			options.Format = logtool.Format(format)
			if options.Format != logtool.FormatJSONL && options.Format != logtool.FormatProtobuf {
				return fmt.Errorf("--format: %q; want jsonl or protobuf", format)
			}
			if options.Resume && options.File == "" {
				return errors.New("--resume: only with --output FILE")
			}
			folder, err := at.folder(command)
			if err != nil {
				return err
			}
			return export(command, folder, options)
		},
	}
	at.addFlags(command)
	flags := command.Flags()
	flags.StringVar(&format, "format", string(logtool.FormatJSONL), "jsonl or protobuf")
	flags.StringVar(&options.File, "output", "", "`file` to write (default standard output)")
	flags.BoolVar(&options.Resume, "resume", false, "continue the file that is there")
	flags.Uint64Var(&options.After, "after-sequence", 0, "leave out the events up to this sequence")
	flags.BoolVar(&options.SkipCorrupt, "skip-corrupt", false, "leave out events that cannot be read, instead of stopping there")
	_ = command.RegisterFlagCompletionFunc("format", // fails only for a flag that does not exist
		cobra.FixedCompletions([]cobra.Completion{"jsonl", "protobuf"}, cobra.ShellCompDirectiveNoFileComp))
	return command
}

func export(command *cobra.Command, folder logtool.Folder, options logtool.ExportOptions) error {
	errOut := command.ErrOrStderr()
	show, finish := newProgress(errOut, "export")
	if options.File == "" && isTerminal(command.OutOrStdout()) {
		show = func(uint64, uint64) {} // the events themselves are on the screen
	}
	options.Out, options.Progress = command.OutOrStdout(), show
	options.Skipped = func(first, last uint64) {
		finish()
		fmt.Fprintf(errOut, "left out: events %d to %d cannot be read\n", first, last)
	}
	done, err := logtool.Export(command.Context(), folder, options)
	finish()
	if err != nil && options.File != "" && done.Events > 0 {
		return fmt.Errorf("%w; what is in %s stays: continue with --resume", err, options.File)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(errOut, "%d events exported, up to sequence %d\n", done.Events, done.Last)
	return nil
}

func newLogImportCommand(environ []string) *cobra.Command {
	at, input := &location{environ: environ}, ""
	command := &cobra.Command{
		Use:   "import",
		Short: "Fill an empty folder with exported events",
		Long: `Fill a folder that is empty or missing with the events of "log export", of either
format. They keep their ids, order, sequences and times, and the indexes are built.

The log is a new one: cursors of the old one are refused with CURSOR_LOG_MISMATCH.
Consumers resume after the last event they have seen (after_event_id).

An import that was cut off is continued by running it again with the same input:
what the folder holds is compared and passed over.

With "log: jetstream" in the configuration a new stream is filled instead of a folder,
and data_dir becomes a replica's copy of it. No server may use the stream meanwhile.`,
		Example: `  wabastreamd log import --input events.jsonl --data-dir /var/lib/wabastream-new

  # From standard input.
  zstd -dc events.pb.zst | wabastreamd log import --input - --data-dir /var/lib/wabastream-new

  # Without one account, and without what is kept of events that are gone.
  jq -c 'select(.event and .event.wabaId != "1234")' events.jsonl | wabastreamd log import --input - --data-dir ./without`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, _ []string) error {
			if input == "" {
				return errors.New("--input: name a file of `log export`, or - for standard input")
			}
			folder, err := at.folder(command)
			if err != nil {
				return err
			}
			config, err := loadConfig(at.flags, at.environ)
			if err != nil {
				return err
			}
			return importFrom(command, folder, config, input)
		},
	}
	at.addFlags(command)
	command.Flags().StringVar(&input, "input", "", "`file` to read; - is standard input")
	return command
}

func importFrom(command *cobra.Command, folder logtool.Folder, config app.Config, input string) error {
	in, size := command.InOrStdin(), int64(0)
	if input != "-" {
		file, err := os.Open(input) //nolint:gosec // whoever runs the command names it
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		in, size = file, info.Size()
	}
	return runImport(command, folder, config, in, size)
}

func runImport(command *cobra.Command, folder logtool.Folder, config app.Config, in io.Reader, size int64) error {
	show, finish := newProgress(command.ErrOrStderr(), "import")
	done, into, err := importInto(command, folder, config, in, size, show)
	finish()
	if err != nil {
		return err
	}
	fmt.Fprintf(command.OutOrStdout(), "%d events imported into %s, log %s\n", done.Events, into, done.LogID)
	if done.Held > 0 {
		fmt.Fprintf(command.OutOrStdout(), "%d were there already\n", done.Held)
	}
	return nil
}

func importInto(command *cobra.Command, folder logtool.Folder, config app.Config, in io.Reader, size int64, show logtool.Progress) (done logtool.Imported, into string, err error) {
	if !config.OnJetStream() {
		done, err = logtool.Import(command.Context(), folder, in, size, show)
		return done, folder.Dir, err
	}
	target, err := app.OpenImport(command.Context(), config, warningsTo(command))
	if err != nil {
		return done, "", err
	}
	done, err = logtool.ImportInto(command.Context(), target, in, size, show)
	return done, "stream " + config.NATSStream, err
}
