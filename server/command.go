package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc/grpclog"

	"github.com/wabastream/wabastream/server/internal/app"
)

// release is set by the linker in release builds.
var release string //nolint:gochecknoglobals // the linker sets variables only

const longHelp = `wabastreamd accepts the callbacks that a WhatsApp Business provider posts, keeps
them in a durable log, and streams them as typed protobuf events over gRPC.

With no configuration it listens on loopback, keeps its data in ./data, and has
one source, nxcloud, that accepts unsigned callbacks.

Every option has three spellings: http_addr in the configuration file,
WABASTREAM_HTTP_ADDR in the environment, --http-addr as a flag. A flag wins over
the environment, the environment over the file. Sources are set in the file.`

const exampleHelp = `  # try it out
  wabastreamd

  # ports that are free, data elsewhere
  wabastreamd --http-addr 127.0.0.1:0 --data-dir /var/lib/wabastream

  # a configuration file
  wabastreamd --config wabastream.yaml`

func newCommand(environ []string) *cobra.Command {
	command := &cobra.Command{
		Use:           "wabastreamd",
		Short:         "Stream a WhatsApp Business provider's callbacks as typed events",
		Long:          longHelp,
		Example:       exampleHelp,
		Version:       version(),
		Args:          noArguments,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	flags := command.Flags()
	addFlags(flags)
	command.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok && bad.GetFlag().Value.Type() == "duration" {
			err = fmt.Errorf("--%s: %w", bad.GetFlag().Name, notDuration(bad.GetValue()))
		}
		return fmt.Errorf("%w; see %s --help", err, command.CommandPath())
	})
	command.RunE = func(command *cobra.Command, _ []string) error {
		config, err := loadConfig(flags, environ)
		if err != nil {
			return err
		}
		logger, err := newLogger(config, command.ErrOrStderr())
		if err != nil {
			return err
		}
		for _, name := range unknownVariables(flags, environ, config) {
			logger.Warn("an environment variable begins like an option of this server and is none", "name", name)
		}
		return serve(command.Context(), config, logger, command.OutOrStdout())
	}
	command.AddCommand(newLogCommand(environ), newTokenCommand(), newConfigCommand(environ))
	return command
}

// noArguments refuses words that are no command.
func noArguments(command *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case !command.HasParent():
		return fmt.Errorf("unknown command %q; the server itself is %s without one, see %[2]s --help", args[0], command.Name())
	case command.HasSubCommands():
		return fmt.Errorf("unknown command %q; see %s --help", args[0], command.CommandPath())
	default:
		return fmt.Errorf("%s takes no arguments, but has %q", command.CommandPath(), args[0])
	}
}

func serve(ctx context.Context, config app.Config, logger *slog.Logger, stdout io.Writer) error {
	// gRPC and its gateway log by themselves, also what clients cause.
	library := slog.NewLogLogger(logger.With("component", "grpc").Handler(), slog.LevelDebug).Writer()
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, library))
	a, err := app.New(ctx, config, version(), logger)
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted while starting")
	}
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	fmt.Fprint(stdout, greeting(config, a.Addrs()))
	if err := a.Run(ctx); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	return nil
}

// plainErrors has errors logged as what they say: some of the store's bring along
// where in its code they were made, a screen of it each time.
func plainErrors(_ []string, attr slog.Attr) slog.Attr {
	if err, ok := attr.Value.Any().(error); ok {
		attr.Value = slog.StringValue(err.Error())
	}
	return attr
}

func newLogger(config app.Config, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(config.LogLevel)); err != nil {
		return nil, fmt.Errorf("log_level: %q; want debug, info, warn or error", config.LogLevel)
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: plainErrors}
	switch config.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	default:
		return nil, fmt.Errorf("log_format: %q; want text or json", config.LogFormat)
	}
}

// version is the release, or what the build knows of its commit.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
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
