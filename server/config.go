package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
	yamlv3 "go.yaml.in/yaml/v3"

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
	flags.String("log", d.Log, "where the log is: embedded in the data folder, or on NATS jetstream")
	flags.String("nats-url", d.NATSURL, "`URLs` of the NATS servers, separated by commas")
	flags.String("nats-credentials-file", d.NATSCredentialsFile, "`file` with the credentials of a NATS user")
	flags.String("nats-ca-file", d.NATSCAFile, "PEM `file` with the authorities of the NATS servers' certificates")
	flags.String("nats-cert-file", d.NATSCertFile, "PEM `file` with a certificate to show to the NATS servers")
	flags.String("nats-key-file", d.NATSKeyFile, "PEM `file` with its key")
	flags.String("nats-stream", d.NATSStream, "`name` of the stream; made when missing")
	flags.Int("nats-replicas", d.NATSReplicas, "how many NATS servers keep the stream: 1, 3 or 5")
	flags.String("nats-durability", d.NATSDurability, "what an acknowledgement of the NATS servers is worth: synced or replicated; there is no default")
	flags.String("backup-dir", d.BackupDir, "`folder` that backups are made in (default \"backups\" inside the data folder)")
	flags.String("http-tls-cert-file", d.HTTPTLSCertFile, "PEM `file` with the certificate of http-addr; without one it is plaintext")
	flags.String("http-tls-key-file", d.HTTPTLSKeyFile, "PEM `file` with its key")
	flags.String("tls-cert-file", d.TLSCertFile, "PEM `file` with the certificate of api-addr and grpc-addr; without one they are plaintext")
	flags.String("tls-key-file", d.TLSKeyFile, "PEM `file` with its key")
	flags.String("tls-client-ca-file", d.TLSClientCAFile, "PEM `file` with the authorities whose certificates clients of api-addr and grpc-addr must have, or with access-file may have")
	flags.String("access-file", d.AccessFile, "YAML `file` that names the consumers of api-addr and grpc-addr, with their tokens, certificates and grants")
	flags.StringSlice("cors-origins", d.CORSOrigins, "`origins` whose pages may use api-addr in a browser, separated by commas")
	flags.Bool("insecure-listen", d.InsecureListen, "allow addresses that are not loopback, without TLS and authentication")
	flags.Duration("lock-wait", d.LockWait, "how long to wait for another process to release the data folder")
	flags.Duration("shutdown-timeout", d.ShutdownTimeout, "the longest an orderly shutdown takes")
	flags.Duration("retention-age", d.RetentionAge, "how long events are kept; 0 is for ever")
	flags.Uint64("retention-bytes", d.RetentionBytes, "how large the log may grow before the oldest events go; 0 is without bound")
	flags.Int64("min-free-bytes", d.MinFreeBytes, "what must stay free on the disk; 0 is 1 GiB or 5 %, whichever is less; -1 is off")
	flags.Int("max-streams", d.MaxStreams, "the most subscriptions open at once")
	flags.Int("max-streams-per-caller", d.MaxStreamsPerCaller, "the most of them from one machine")
	flags.Duration("max-stream-age", d.MaxStreamAge, "how old a subscription gets before its client is asked to begin a new one; 0 is no end")
	flags.Int("max-connections", d.MaxConnections, "the most connections to http-addr at once, and to each other address of callers not let in yet; beyond it those without an authentic callback or call are closed, the oldest first")
	flags.Int("source-rate", d.SourceRate, "the most authentic callbacks a second of each source; 0 is without bound")
	flags.Int("source-burst", d.SourceBurst, "the most of them at once after a pause; 0 is ten seconds of source-rate")
	flags.Int("quarantine-callbacks", d.QuarantineCallbacks, "how many signed callbacks that cannot be read are kept; 0 is none")
	flags.Int64("quarantine-bytes", d.QuarantineBytes, "how many bytes of them are kept; 0 is none")
	flags.Duration("duplicate-horizon", d.DuplicateHorizon, "how long a repeated callback is recognised, if it carries a time")
	flags.Duration("untimed-duplicate-horizon", d.UntimedDuplicateHorizon, "the same for a callback that carries no time")
	flags.String("log-level", d.LogLevel, "debug, info, warn or error")
	flags.String("log-format", d.LogFormat, "text or json")
}

// loadConfig merges defaults, file, environment and flags, the later over the
// earlier. Names in the file that do not exist are refused.
func loadConfig(flags *pflag.FlagSet, environ []string) (app.Config, error) {
	config := app.DefaultConfig()
	k := koanf.New("\x00") // no delimiter: phone numbers and paths are keys too
	if path := configPath(flags, environ); path != "" {
		if err := k.Load(file.Provider(path), strictYAML{yaml.Parser()}); err != nil {
			return config, fmt.Errorf("configuration file %s: %w", path, err)
		}
	}
	if err := decode(k, &config, fromFile); err != nil {
		return config, fmt.Errorf("configuration file %s: %w", configPath(flags, environ), err)
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
	if err := decode(k, &config, fromText); err != nil {
		return config, fmt.Errorf("environment and flags: %w", err)
	}
	return config, nil
}

// origin says how values are spelled. In a file they have types, and one of
// another type is a mistake: YAML reads an unquoted access key 012345 as 5349.
// From the environment everything is text.
type origin bool

const (
	fromFile origin = false
	fromText origin = true
)

// decode lays what is set over config and refuses names that it does not have.
func decode(k *koanf.Koanf, config *app.Config, from origin) error {
	if k.Exists("sources") {
		config.Sources = nil // replaced, not merged with the default one
	}
	err := k.UnmarshalWithConf("", config, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result:           config,
		ErrorUnused:      true,
		WeaklyTypedInput: bool(from),
		MatchName:        func(name, field string) bool { return name == field },
		DecodeHook:       mapstructure.ComposeDecodeHookFunc(readDuration, from.splitLists),
	}})
	if err != nil {
		text := strings.NewReplacer(
			"decoding failed due to the following error(s):\n\n", "",
			"'app.Config' ", "", "'' ", "",
			"has invalid keys:", "unknown option:",
			"expected type 'string', got unconvertible type", "want a text, put it in quotes; got",
		).Replace(err.Error())
		if k.Exists("consumers") {
			text += "; consumers stand in a file of their own, the one that access_file names"
		}
		return errors.New(text)
	}
	return nil
}

// splitLists makes a list of a text with commas, where there is nothing but text.
func (o origin) splitLists(from, to reflect.Type, value any) (any, error) {
	text, ok := value.(string)
	if o == fromFile || !ok || to != reflect.TypeFor[[]string]() {
		return value, nil
	}
	return slices.DeleteFunc(strings.Split(text, ","), func(item string) bool { return item == "" }), nil
}

// readDuration reads what has a unit, and keeps 604800 from meaning nanoseconds.
func readDuration(from, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() || from == to {
		return value, nil
	}
	text, ok := value.(string)
	if !ok {
		return nil, notDuration(value)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, notDuration(value)
	}
	return d, nil
}

// notDuration says how one is written: days are what people try.
func notDuration(value any) error {
	return fmt.Errorf("%#v is not a duration; write one with its unit, the largest of which is hours, for instance 90s or 168h", value)
}

// strictYAML is YAML that refuses mapping keys which are not text: an unquoted
// phone number would be read as a number, and may come out as another one. It also
// refuses what follows the first document, which would be passed over in silence.
type strictYAML struct{ *yaml.YAML }

func (s strictYAML) Unmarshal(b []byte) (map[string]any, error) {
	decoder := yamlv3.NewDecoder(bytes.NewReader(b))
	var document, rest yamlv3.Node
	if err := decoder.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := decoder.Decode(&rest); !errors.Is(err, io.EOF) {
		return nil, errors.New("holds more than one document; remove what follows the first")
	}
	if len(document.Content) > 0 && document.Content[0].Kind != yamlv3.MappingNode {
		return nil, errors.New("holds no options; want lines such as log_level: debug") // not what it holds: that may be a secret
	}
	if err := checkNodes(&document); err != nil {
		return nil, err
	}
	return s.YAML.Unmarshal(b)
}

// checkNodes refuses names that are no text, and what is set but empty: a value that
// got lost on its way into the file must not mean the default.
func checkNodes(node *yamlv3.Node) error {
	for i, child := range node.Content {
		switch isName := node.Kind == yamlv3.MappingNode && i%2 == 0; {
		case isName && child.ShortTag() != "!!str":
			return fmt.Errorf("line %d: %s is not a text; put it in quotes", child.Line, child.Value)
		case child.Kind == yamlv3.ScalarNode && child.ShortTag() == "!!null":
			return fmt.Errorf("line %d: a value is missing; give one, or leave the option out", child.Line)
		}
		if err := checkNodes(child); err != nil {
			return err
		}
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

// optionOfEnv takes the variables that are options. Others with the prefix may be
// the client's or an orchestrator's (a service named wabastream gets
// WABASTREAM_PORT from Kubernetes).
func optionOfEnv(flags *pflag.FlagSet) func(name, value string) (string, any) {
	names := make(map[string]string)
	flags.VisitAll(func(f *pflag.Flag) {
		if isOption(f) {
			names[envName(f)] = optionName(f)
		}
	})
	return func(name, value string) (string, any) { return names[name], value }
}

// unknownVariables are those that look like a mistyped option: with the prefix,
// and neither an option, nor the client's, nor named as a secret's.
func unknownVariables(flags *pflag.FlagSet, environ []string, config app.Config) []string {
	known := map[string]bool{"WABASTREAM_CONFIG": true, "WABASTREAM_ADDR": true, "WABASTREAM_URL": true, "WABASTREAM_PROFILE": true, "WABASTREAM_TOKEN": true, "WABASTREAM_SECRET": true}
	flags.VisitAll(func(f *pflag.Flag) { known[envName(f)] = true })
	for _, s := range config.Sources {
		for _, k := range s.AccessKeys {
			known[k.SecretEnv] = true
		}
	}
	var unknown []string
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, envPrefix) && !known[name] {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func isOption(f *pflag.Flag) bool {
	return f.Name != configFlag && f.Name != "help" && f.Name != "version"
}

func optionName(f *pflag.Flag) string { return strings.ReplaceAll(f.Name, "-", "_") }

func envName(f *pflag.Flag) string { return envPrefix + strings.ToUpper(optionName(f)) }
