package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/wabastream/wabastream/server/internal/app"
)

const envPrefix = "WABASTREAM_"

// configFlag is the one option that is not part of app.Config: it says where the
// rest is.
const configFlag = "config"

// addFlags declares every option that has one value. Its flag, less the dashes,
// is its name in the file and in the environment.
func addFlags(flags *pflag.FlagSet) {
	d := app.DefaultConfig()
	flags.String(configFlag, "", "configuration `file`, YAML; sources are set there")
	flags.String("http-addr", d.HTTPAddr, "`address` that the provider posts callbacks to; port 0 is any free one")
	flags.String("api-addr", d.APIAddr, "`address` of REST, /readyz and /metrics")
	flags.String("grpc-addr", d.GRPCAddr, "`address` of gRPC")
	flags.String("data-dir", d.DataDir, "`folder` of the log; made when missing")
	flags.Bool("insecure-listen", d.InsecureListen, "allow addresses that are not loopback, without TLS and authentication")
	flags.Duration("lock-wait", d.LockWait, "how long to wait for another process to release the data folder")
	flags.Duration("shutdown-timeout", d.ShutdownTimeout, "the longest an orderly shutdown takes")
	flags.Duration("duplicate-horizon", d.DuplicateHorizon, "how long a repeated callback is recognised, if it carries a time")
	flags.Duration("untimed-duplicate-horizon", d.UntimedDuplicateHorizon, "the same for a callback that carries no time")
	flags.String("log-level", d.LogLevel, "debug, info, warn or error")
	flags.String("log-format", d.LogFormat, "text or json")
}

// loadConfig merges defaults, file, environment and flags, the later over the
// earlier. Names that do not exist are refused.
func loadConfig(flags *pflag.FlagSet, environ []string) (app.Config, error) {
	config := app.DefaultConfig()
	k := koanf.New("\x00") // no delimiter: phone numbers and paths are keys too
	if path := configPath(flags, environ); path != "" {
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return config, fmt.Errorf("configuration file %s: %w", path, err)
		}
	}
	if err := decode(k, &config); err != nil {
		return config, fmt.Errorf("configuration file: %w", err)
	}

	k = koanf.New("\x00")
	if err := k.Load(env.Provider("", env.Opt{
		Prefix:        envPrefix,
		TransformFunc: optionOfEnv(flags),
		EnvironFunc:   func() []string { return environ },
	}), nil); err != nil {
		return config, fmt.Errorf("environment: %w", err)
	}
	if err := k.Load(posflag.ProviderWithFlag(flags, "\x00", nil, func(f *pflag.Flag) (string, any) {
		if !isOption(f) {
			return "", nil
		}
		return optionName(f), posflag.FlagVal(flags, f)
	}), nil); err != nil {
		return config, fmt.Errorf("flags: %w", err)
	}
	if err := decode(k, &config); err != nil {
		return config, fmt.Errorf("environment and flags: %w", err)
	}
	return config, nil
}

// decode lays what is set over config and refuses names that it does not have.
func decode(k *koanf.Koanf, config *app.Config) error {
	if k.Exists("sources") {
		config.Sources = nil // replaced, not merged with the default one
	}
	err := k.UnmarshalWithConf("", config, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result:           config,
		ErrorUnused:      true,
		WeaklyTypedInput: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			mapstructure.StringToTimeDurationHookFunc(),
			mapstructure.StringToSliceHookFunc(","),
		),
	}})
	if err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), "has invalid keys:", "unknown option:"))
	}
	return nil
}

func configPath(flags *pflag.FlagSet, environ []string) string {
	if f := flags.Lookup(configFlag); f.Changed {
		return f.Value.String()
	}
	for _, e := range environ {
		if path, ok := strings.CutPrefix(e, envPrefix+"CONFIG="); ok {
			return path
		}
	}
	return ""
}

// optionOfEnv takes the variables that are options. Others with the prefix may
// belong to the client's command, which shares it.
func optionOfEnv(flags *pflag.FlagSet) func(name, value string) (string, any) {
	names := make(map[string]string)
	flags.VisitAll(func(f *pflag.Flag) {
		if isOption(f) {
			names[envName(f)] = optionName(f)
		}
	})
	return func(name, value string) (string, any) { return names[name], value }
}

func isOption(f *pflag.Flag) bool {
	return f.Name != configFlag && f.Name != "help" && f.Name != "version"
}

func optionName(f *pflag.Flag) string { return strings.ReplaceAll(f.Name, "-", "_") }

func envName(f *pflag.Flag) string { return envPrefix + strings.ToUpper(optionName(f)) }
