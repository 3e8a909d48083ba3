package main

import (
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"
)

func newRootCommand(c *console) *cobra.Command {
	root := &cobra.Command{
		Use:   "wabastream",
		Short: "Follow WhatsApp Business account events",
		Long: `Follow the events of WhatsApp Business accounts (WABAs) that a wabastream server
streams, and post callbacks to a server to try it out.

Exit codes: 0 all went well, 1 something failed, 2 the command line is wrong.`,
		Example: `  # In one terminal: a server, with nothing to configure.
  wabastreamd

  # In another: whatever happens from now on.
  wabastream tail

  # In a third: the provider's example callbacks. They appear in the second.
  wabastream send`,
		Version:       version(),
		Args:          noArguments,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newTailCommand(c), newSendCommand(c), newVersionCommand(c))
	return root
}

func newVersionCommand(c *console) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.out, cmd.Root().Name(), version())
			return err
		},
	}
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasParent() {
		return usagef("%s takes no arguments, but has %q", cmd.Name(), args[0])
	}
	return usagef("no such command: %q", args[0])
}

// version is what the Go toolchain recorded in the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version + " " + info.GoVersion
}

// oneOf checks a flag that takes a word of a list.
func oneOf(flag, value string, words ...string) error {
	if slices.Contains(words, value) {
		return nil
	}
	return usagef("--%s %q: want one of %q", flag, value, words)
}
