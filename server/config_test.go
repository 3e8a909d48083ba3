package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/app"
)

func load(t *testing.T, file string, environ []string, args ...string) (app.Config, error) {
	t.Helper()
	if file != "" {
		path := filepath.Join(t.TempDir(), "wabastream.yaml")
		require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
		args = append(args, "--config", path)
	}
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	addFlags(flags)
	require.NoError(t, flags.Parse(args))
	return loadConfig(flags, environ)
}

func TestNoConfigurationIsTheDefault(t *testing.T) {
	t.Parallel()
	config, err := load(t, "", nil)
	require.NoError(t, err)
	require.Equal(t, app.DefaultConfig(), config)
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	t.Parallel()
	file := "http_addr: 127.0.0.1:1\napi_addr: 127.0.0.1:1\ngrpc_addr: 127.0.0.1:1\nlock_wait: 1s\n"
	environ := []string{"WABASTREAM_API_ADDR=127.0.0.1:2", "WABASTREAM_GRPC_ADDR=127.0.0.1:2", "WABASTREAM_INSECURE_LISTEN=true", "WABASTREAM_TOKEN=of the client"}
	config, err := load(t, file, environ, "--grpc-addr", "127.0.0.1:3")
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:1", config.HTTPAddr)
	require.Equal(t, "127.0.0.1:2", config.APIAddr)
	require.Equal(t, "127.0.0.1:3", config.GRPCAddr)
	require.Equal(t, time.Second, config.LockWait)
	require.True(t, config.InsecureListen)
	require.Equal(t, app.DefaultConfig().Sources, config.Sources)
}

func TestLists(t *testing.T) {
	t.Parallel()
	want := []string{"https://a.example", "http://localhost:3000"}
	config, err := load(t, "cors_origins: [\"https://a.example\", \"http://localhost:3000\"]\n", nil)
	require.NoError(t, err)
	require.Equal(t, want, config.CORSOrigins)
	config, err = load(t, "", []string{"WABASTREAM_CORS_ORIGINS=https://a.example,http://localhost:3000", "WABASTREAM_ACCESS_FILE=a.yaml"})
	require.NoError(t, err)
	require.Equal(t, want, config.CORSOrigins)
	require.Equal(t, "a.yaml", config.AccessFile)
	config, err = load(t, "cors_origins: [\"https://b.example\"]\n", nil, "--cors-origins", "https://a.example,http://localhost:3000")
	require.NoError(t, err)
	require.Equal(t, want, config.CORSOrigins)
	config, err = load(t, "cors_origins: [\"https://b.example\"]\n", []string{"WABASTREAM_CORS_ORIGINS="})
	require.NoError(t, err)
	require.Empty(t, config.CORSOrigins)
}

func TestWhatFollowsTheFirstDocumentIsRefused(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"log_level: info\n---\nlog_level: debug\n", "{}\nlog_level: debug\n", "# nothing\n---\n---\n"} {
		_, err := load(t, file, nil)
		require.ErrorContains(t, err, "more than one document", file)
	}
	_, err := load(t, "---\nlog_level: info\n...\n", nil)
	require.NoError(t, err)
}

// TestAnotherFileIsNotRepeated: somebody names the file of a secret, and it must not
// come to stand in a log.
func TestAnotherFileIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"hunter2hunter2\n", "- hunter2\n", "null\n"} {
		_, err := load(t, file, nil)
		require.ErrorContains(t, err, "holds no options")
		require.NotContains(t, err.Error(), "hunter")
	}
}

// TestSetButEmptyIsRefused: with its value lost, tls_client_ca_file must not mean that
// everyone gets in.
func TestSetButEmptyIsRefused(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"tls_client_ca_file:\n", "log_level: info\nsources: ~\n", "sources:\n- name: a\n  discard: [null]\n", "sources: [{name: }]\n"} {
		_, err := load(t, file, nil)
		require.ErrorContains(t, err, "a value is missing", file)
	}
}

func TestLimitsOfTheLog(t *testing.T) {
	t.Parallel()
	config, err := load(t, "retention_age: 720h\nretention_bytes: 10737418240\nmin_free_bytes: -1\n", nil)
	require.NoError(t, err)
	require.Equal(t, 720*time.Hour, config.RetentionAge)
	require.Equal(t, uint64(10<<30), config.RetentionBytes)
	require.Equal(t, int64(-1), config.MinFreeBytes)
	config, err = load(t, "", []string{"WABASTREAM_RETENTION_BYTES=5"}, "--min-free-bytes", "7")
	require.NoError(t, err)
	require.Equal(t, uint64(5), config.RetentionBytes)
	require.Equal(t, int64(7), config.MinFreeBytes)
	_, err = load(t, "retention_bytes: -5\n", nil)
	require.ErrorContains(t, err, "retention_bytes")
}

func TestLimitsOfTypes(t *testing.T) {
	t.Parallel()
	config, err := load(t, `
retention_types:
  - types: [messages, statuses]
    age: 72h
  - types: [calls]
    age: 720h
    bytes: 2147483648
`, nil)
	require.NoError(t, err)
	require.Equal(t, []app.RetentionRule{
		{Types: []string{"messages", "statuses"}, Age: 72 * time.Hour},
		{Types: []string{"calls"}, Age: 720 * time.Hour, Bytes: 2 << 30},
	}, config.RetentionTypes)
	require.Equal(t, "every event; of messages and statuses events of the last 72h0m0s; of calls events of the last 720h0m0s, at most 2147483648 bytes", keeps(config))
	for file, want := range map[string]string{
		"retention_types: [{types: [calls], age: 72}]\n":    "not a duration",
		"retention_types: [{types: calls, age: 72h}]\n":     "types",
		"retention_types: [{type: [calls], age: 72h}]\n":    "unknown option",
		"retention_types: [{types: [calls], bytes: -1}]\n":  "bytes",
		"retention_types: [{types: [calls], bytes: 2GB}]\n": "bytes",
	} {
		_, err := load(t, file, nil)
		require.ErrorContains(t, err, want, file)
	}
}

func TestConfigPathFromEnvironment(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(path, []byte("data_dir: /elsewhere\n"), 0o600))
	config, err := load(t, "", []string{"WABASTREAM_CONFIG=" + path})
	require.NoError(t, err)
	require.Equal(t, "/elsewhere", config.DataDir)
}

func TestSources(t *testing.T) {
	t.Parallel()
	config, err := load(t, `
sources:
  - name: one
    access_keys:
      - key: k1
        secret_env: S1
        algorithms: [sha256, md5]
    timestamp_tolerance: 90s
    max_body_bytes: 4096
    discard: [messages, statuses]
    numbers:
      "15557902885": "1618074075500491"
      "+1 555.790": "w"
  - name: two
    allow_unsigned: true
`, nil)
	require.NoError(t, err)
	require.Equal(t, []app.SourceConfig{
		{
			Name:               "one",
			AccessKeys:         []app.AccessKeyConfig{{Key: "k1", SecretEnv: "S1", Algorithms: []string{"sha256", "md5"}}},
			TimestampTolerance: 90 * time.Second,
			MaxBodyBytes:       4096,
			Discard:            []string{"messages", "statuses"},
			Numbers:            map[string]string{"15557902885": "1618074075500491", "+1 555.790": "w"},
		},
		{Name: "two", AllowUnsigned: true},
	}, config.Sources, "the default source is replaced")
}

func TestUnknownOptionsAreNamed(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"http_adr: 127.0.0.1:1\n":                                    "http_adr",
		"sources:\n  - name: a\n    alow_unsigned: true\n":           "alow_unsigned",
		"sources:\n  - name: a\n    access_keys: [{secret: oops}]\n": "secret",
	} {
		_, err := load(t, file, nil)
		require.ErrorContains(t, err, "unknown option")
		require.ErrorContains(t, err, want)
	}
}

// What YAML or Go would quietly read as something else is refused.
func TestNothingIsReadAsSomethingElse(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"duplicate_horizon: 604800\n": "not a duration",
		"lock_wait: 1.5\n":            "not a duration",
		"retention_age: 30d\n":        `"30d" is not a duration; write one with its unit, the largest of which is hours`,
		"consumers: []\n":             "the one that access_file names",
		"insecure_listen: 2\n":        "insecure_listen",
		"HTTP_ADDR: 127.0.0.1:1\n":    "unknown option",
		"data_dir: 5\n":               "put it in quotes",
		"sources: [{name: a, access_keys: [{key: 012345, secret_env: S}]}]\n":     "put it in quotes",
		"sources: [{name: a, access_keys: [{key: true, secret_env: S}]}]\n":       "put it in quotes",
		"sources: [{name: a, allow_unsigned: true, numbers: {0155579028: w}}]\n":  "0155579028 is not a text",
		"sources: [{name: a, allow_unsigned: true, numbers: {\"1\": 0123456}}]\n": "put it in quotes",
		"sources: [{name: a, timestamp_tolerance: 300}]\n":                        "not a duration",
	} {
		_, err := load(t, file, nil)
		require.ErrorContains(t, err, want, file)
	}
}

func TestMistypedVariablesAreNoticed(t *testing.T) {
	t.Parallel()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	addFlags(flags)
	config := app.Config{Sources: []app.SourceConfig{{AccessKeys: []app.AccessKeyConfig{{SecretEnv: "WABASTREAM_NX"}}}}}
	require.Equal(t, []string{"WABASTREAM_HTTP_ADR"}, unknownVariables(flags, []string{
		"HOME=/", "WABASTREAM_HTTP_ADDR=x", "WABASTREAM_HTTP_ADR=x", "WABASTREAM_TOKEN=t", "WABASTREAM_NX=s", "WABASTREAM_CONFIG=c",
	}, config))
}

func TestUnusableValuesAreNamed(t *testing.T) {
	t.Parallel()
	_, err := load(t, "lock_wait: soon\n", nil)
	require.ErrorContains(t, err, "lock_wait")
	_, err = load(t, "sources: 5\n", nil)
	require.ErrorContains(t, err, "sources")
	_, err = load(t, "not: [closed\n", nil)
	require.ErrorContains(t, err, "configuration file")
	_, err = load(t, "", []string{"WABASTREAM_CONFIG=/no/such/file"})
	require.ErrorContains(t, err, "/no/such/file")
}

func TestRetentionOfTheDocumentationIsConfiguration(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(page), "\n## Retention\n")
	require.True(t, found)
	_, section, _ = strings.Cut(section, "```yaml\n")
	file, _, found := strings.Cut(section, "```")
	require.True(t, found)
	config, err := load(t, file, nil)
	require.NoError(t, err)
	require.Len(t, config.RetentionTypes, 2)
	require.Positive(t, config.RetentionAge)
	require.Positive(t, config.RetentionBytes)
}

// The files that operators copy from the documentation have only options that there are.
func TestFilesOfTheDocumentationAreConfiguration(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	loaded := 0
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		file, _, _ := strings.Cut(block, "```")
		if strings.Contains(file, "\nconsumers:\n") {
			continue // package access tries those
		}
		loaded++
		_, err := load(t, file, nil)
		require.NoError(t, err, file)
	}
	require.Equal(t, 3, loaded)
}

// The table is what operators read: it has every option and default.
func TestDocumentationHasEveryOption(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	addFlags(flags)
	flags.VisitAll(func(f *pflag.Flag) {
		row := "| `" + optionName(f) + "` | "
		if f.DefValue != "" && f.DefValue != "[]" {
			row += "`" + f.DefValue + "` | "
		}
		require.Contains(t, string(page), row, "option %s", optionName(f))
	})
}
