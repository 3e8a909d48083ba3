package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/wabastream/wabastream/server/internal/app"
)

func newConfigCommand(environ []string) *cobra.Command {
	command := &cobra.Command{
		Use:     "config",
		Short:   "Look at a configuration",
		Long:    `Look at a configuration, as flags, environment and file say, without a server.`,
		Example: `  wabastreamd config check --config wabastream.yaml`,
		Args:    noArguments,
		RunE:    func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newConfigCheckCommand(environ))
	return command
}

func newConfigCheckCommand(environ []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with a configuration, and what is unsafe in it",
		Long: `Say what is wrong with a configuration, and what is unsafe in it: plaintext,
unsigned callbacks, open addresses, weak signatures, what consumers may and how
long their tokens last, certificates that expire soon, files that others may read.

It takes the flags, environment and file of the server, and reads the files that
they name; run it as the server's user, where its secrets are. It opens no log and
no address.

Each line begins with the option that it is about. An error would end the start: the
exit code is 1 then. A risk would not: the exit code is 0.`,
		Example: `  wabastreamd config check --config wabastream.yaml

  # Before a new access file is put in place.
  wabastreamd config check --config wabastream.yaml --access-file access.new.yaml`,
		Args:              noArguments,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := command.Flags()
	addFlags(flags)
	command.RunE = func(command *cobra.Command, _ []string) error {
		config, err := loadConfig(flags, environ)
		if err != nil {
			return err
		}
		verdict := app.Check(config, configPath(flags, environ))
		if _, err := newLogger(config, io.Discard); err != nil {
			verdict.Problems = append(verdict.Problems, err.Error())
		}
		for _, name := range unknownVariables(flags, environ, config) {
			verdict.Risks = append(verdict.Risks, name+": an environment variable that begins like an option of this server and is none")
		}
		return writeVerdict(command.OutOrStdout(), verdict)
	}
	return command
}

// writeVerdict errs if there are problems.
func writeVerdict(w io.Writer, v app.Verdict) error {
	for _, problem := range v.Problems {
		fmt.Fprintln(w, "error ", problem)
	}
	for _, risk := range v.Risks {
		fmt.Fprintln(w, "risk  ", risk)
	}
	fmt.Fprintf(w, "%s, %s\n", counted(len(v.Problems), "error"), counted(len(v.Risks), "risk"))
	if len(v.Problems) > 0 {
		return errors.New("a server would not start with this configuration")
	}
	return nil
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
