package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is set by the linker in release builds.
var release string //nolint:gochecknoglobals // the linker sets variables only

func newRootCommand(c *console) *cobra.Command {
	root := &cobra.Command{
		Use:   "wabastream",
		Short: "Follow WhatsApp Business account events",
		Long: `Follow the events of WhatsApp Business accounts (WABAs) that a wabastream server
streams, see how accounts stand now, post callbacks to a server to try it out, see who
else is listening, and have it make backups, or try again callbacks that it could not
read.`,
		Example: `  # In one terminal: a server, with nothing to configure.
  wabastreamd

  # In another: whatever happens from now on.
  wabastream tail

  # In a third: the provider's example callbacks. They appear in the second.
  wabastream send

  # What the server holds, and its newest events.
  wabastream log
  wabastream list --limit 10

  # Which accounts may not send, and why.
  wabastream account list --blocked

  # Completion of commands, flags and event types, in bash and in zsh.
  echo 'source <(wabastream completion bash)' >> ~/.bashrc
  echo 'source <(wabastream completion zsh)' >> ~/.zshrc`,
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
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	root.AddCommand(newTailCommand(c), newListCommand(c), newGetCommand(c), newLogCommand(c),
		newAccountCommand(c), newOptOutsCommand(c), newSendCommand(c),
		newBackupCommand(c), newQuarantineCommand(c), newSubscribersCommand(c), newProfileCommand(c), newVersionCommand(c),
		newExitCodesTopic(), newTemplatesTopic())
	return root
}

func newVersionCommand(c *console) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  wabastream version",
		Args:    noArguments,
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

// version is the release, or what the build knows of its commit.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	return buildVersion(info)
}

func buildVersion(info *debug.BuildInfo) string {
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	if info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
