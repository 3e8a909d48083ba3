package main

import (
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/wabastream/wabastream/server/internal/app"
)

// FuzzConfiguration: a file means one thing or is refused in words fit to print. What
// it means can be written down and means the same again, and nothing that stands in
// it is passed over.
func FuzzConfiguration(f *testing.F) {
	page, err := os.ReadFile("../docs/operations.md")
	require.NoError(f, err)
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		example, _, _ := strings.Cut(block, "```")
		f.Add([]byte(example))
	}
	for _, text := range []string{
		"", "# nothing\n", "{}", "http_addr: 127.0.0.1:0\n", "retention_age: 604800\n", "lock_wait: 90s\n", "max_streams: 0x10\n", "min_free_bytes: -1\n",
		"sources: []\n", "sources:\n- name: a\n  numbers: {15557902885: \"1\"}\n", "a: &x [1]\nb: *x\n", "? [a]\n: b\n", "!!binary aGk=: 1\n", "http_addr: 1\nhttp_addr: 2\n",
		"log_level: info\n---\nlog_level: debug\n", "\xff\xfeh", "retention_types: [{types: [a], age: 72h}]\n", "insecure_listen: yes\n", "grpc_addr: 0.0.0.0:1\n", "http_addr: \":1\"\n", "api_addr: \"[::1]:0\"\n", "<<: {log_level: debug}\n",
	} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "wabastream.yaml")
	load := func(t *testing.T, file []byte) (app.Config, error) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, file, 0o600))
		flags := pflag.NewFlagSet("fuzz", pflag.ContinueOnError)
		addFlags(flags)
		require.NoError(t, flags.Parse([]string{"--config", path}))
		return loadConfig(flags, nil)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		config, err := load(t, file)
		if err != nil {
			require.True(t, utf8.ValidString(err.Error()), "%q", err)
			return
		}
		requireSafe(t, config)
		again, err := load(t, writtenDown(t, config))
		require.NoError(t, err)
		require.Equal(t, config, again)

		_, err = load(t, append(file, "\nmax_strems: 1\n"...))
		require.Error(t, err, "an option that there is not was passed over")
	})
}

// requireSafe: without a certificate nothing listens but on loopback, unless the
// configuration says that it is to.
func requireSafe(t *testing.T, config app.Config) {
	t.Helper()
	files := []string{config.HTTPTLSCertFile, config.HTTPTLSKeyFile, config.TLSCertFile, config.TLSKeyFile, config.TLSClientCAFile, config.AccessFile}
	for _, s := range config.Sources {
		for _, k := range s.AccessKeys {
			files = append(files, k.SecretFile)
		}
	}
	if slices.ContainsFunc(files, func(f string) bool { return f != "" }) {
		return // whatever they are, they are not read here
	}
	verdict := app.Check(config, "")
	for _, said := range append(verdict.Problems, verdict.Risks...) {
		require.True(t, utf8.ValidString(said), "%q", said)
	}
	if len(verdict.Problems) > 0 || config.InsecureListen {
		return
	}
	for _, addr := range []string{config.HTTPAddr, config.APIAddr, config.GRPCAddr} {
		host, _, err := net.SplitHostPort(addr)
		require.NoError(t, err)
		ip := net.ParseIP(host)
		require.True(t, strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback(), "%q is open to others", addr)
	}
}

// writtenDown is a file with every option of a configuration.
func writtenDown(t *testing.T, config app.Config) []byte {
	t.Helper()
	text, err := yamlv3.Marshal(optionsOf(reflect.ValueOf(config)))
	require.NoError(t, err)
	return text
}

// optionsOf writes a value as files have it: by the names of its options, and
// durations with their unit.
func optionsOf(v reflect.Value) any {
	if d, ok := reflect.TypeAssert[time.Duration](v); ok {
		return d.String()
	}
	switch v.Kind() {
	case reflect.Struct:
		members := make(map[string]any)
		for i := range v.NumField() {
			if name := v.Type().Field(i).Tag.Get("koanf"); !isUnset(v.Field(i)) {
				members[name] = optionsOf(v.Field(i))
			}
		}
		return members
	case reflect.Slice:
		items := make([]any, v.Len())
		for i := range items {
			items[i] = optionsOf(v.Index(i))
		}
		return items
	default:
		return v.Interface()
	}
}

func isUnset(v reflect.Value) bool {
	return (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.IsNil()
}
