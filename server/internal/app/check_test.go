package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// safe is a configuration for other machines that has nothing to say against it.
func safe(t *testing.T) Config {
	t.Helper()
	a := newAuthority(t)
	config := DefaultConfig()
	config.HTTPAddr, config.APIAddr, config.GRPCAddr = ":8080", ":8081", ":9090"
	config.HTTPTLSCertFile, config.HTTPTLSKeyFile = a.pair("front")
	config.TLSCertFile, config.TLSKeyFile = a.pair("insiders")
	config.TLSClientCAFile = filepath.Join(a.dir, "ca.pem")
	reader := newConsumer("reader", `waba_ids: ["*"]`)
	reader.expireTime = "2100-01-01T00:00:00Z"
	config.AccessFile = newRoster(t, reader).path
	config.DataDir = filepath.Join(t.TempDir(), "data")
	config.Sources = []SourceConfig{{Name: "nxcloud", AccessKeys: []AccessKeyConfig{{Key: "key", SecretFile: write(t, "secret", "secret\n")}}}}
	return config
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change   func(t *testing.T, c *Config)
		problems []string
		risks    []string
	}{
		"safe": {change: func(*testing.T, *Config) {}},
		"defaults": {
			change: func(_ *testing.T, c *Config) { *c = DefaultConfig() },
			risks:  []string{`sources: "nxcloud" accepts unsigned callbacks`, "access_file: none, so that whoever reaches api_addr"},
		},
		"everything wrong": {
			change: func(t *testing.T, c *Config) {
				t.Helper()
				c.MaxStreams, c.SourceBurst = 0, 5
				c.TLSKeyFile = c.HTTPTLSKeyFile
				c.AccessFile = write(t, "access", "consumers:\n- {name: 1}\n- {operate: 1}\n")
			},
			problems: []string{
				"max_streams: 0; want at least 1", `source "nxcloud": source_burst: has no effect`,
				"tls_cert_file, tls_key_file, tls_client_ca_file: key file", "access_file: access file", "access_file: consumers[1].operate (line 3)", "access_file: consumers[1] (line 3)",
			},
		},
		"jetstream without a choice": {
			change: func(_ *testing.T, c *Config) { c.Log, c.NATSReplicas, c.NATSStream = "jetstream", 2, "a b" },
			problems: []string{
				"nats_url: empty", `nats_durability: ""; JetStream acknowledges events before they are on a disk`,
				`nats_stream: "a b"`, "nats_replicas: 2; want 1, 3 or 5",
			},
			risks: []string{"nats_credentials_file: none"},
		},
		"jetstream at risk": {
			change: func(_ *testing.T, c *Config) {
				c.Log, c.NATSURL, c.NATSDurability, c.NATSReplicas = "jetstream", "nats://nats:4222", "replicated", 1
				c.RetentionAge = time.Hour
			},
			risks: []string{"nats_durability: replicated", "nats_replicas: 1", "nats_url: a server is reached in plaintext", "nats_credentials_file: none", "retention_age: 1h0m0s is less than"},
		},
		"jetstream safe": {
			change: func(t *testing.T, c *Config) {
				t.Helper()
				c.Log, c.NATSURL, c.NATSDurability = "jetstream", "tls://a:4222,tls://b:4222", "synced"
				c.NATSCredentialsFile = write(t, "creds", "x")
			},
		},
		"jetstream with secrets in its address": {
			change: func(_ *testing.T, c *Config) {
				c.Log, c.NATSURL, c.NATSDurability, c.NATSKeyFile = "jetstream", "tls://user:pass@a:4222", "synced", "key"
			},
			problems: []string{"nats_url: holds a user or a token", "nats_cert_file, nats_key_file: set both"},
			risks:    []string{"nats_credentials_file: none"},
		},
		"nats for nothing": {
			change:   func(_ *testing.T, c *Config) { c.NATSURL = "nats://a:4222" },
			problems: []string{"nats_url: is set, and the log is embedded"},
		},
		"another log": {
			change:   func(_ *testing.T, c *Config) { c.Log = "kafka" },
			problems: []string{`log: "kafka"; want embedded or jetstream`},
		},
		"secrets that are not there": {
			change:   func(_ *testing.T, c *Config) { c.Sources[0].AccessKeys[0].SecretFile = "nowhere" },
			problems: []string{`source "nxcloud": access_keys[0]: secret_file: read the file it names`},
		},
		"no sources": {change: func(_ *testing.T, c *Config) { c.Sources = nil }, problems: []string{"sources: at least one"}},
		"strangers": {
			change:   func(_ *testing.T, c *Config) { c.TLSCertFile, c.TLSKeyFile, c.TLSClientCAFile = "", "", "" },
			problems: []string{"api_addr: \":8081\" is not a loopback address", "grpc_addr: \":9090\" is not a loopback address"},
			risks:    []string{"tls_cert_file: none"},
		},
		"strangers, knowingly": {
			change: func(_ *testing.T, c *Config) {
				c.TLSCertFile, c.TLSKeyFile, c.TLSClientCAFile, c.InsecureListen = "", "", "", true
			},
			risks: []string{"api_addr: \":8081\" is not a loopback address, and tokens and events could be read", "grpc_addr: \":9090\"", "tls_cert_file: none"},
		},
		"insecure for nothing": {
			change: func(_ *testing.T, c *Config) { c.InsecureListen = true },
			risks:  []string{"insecure_listen: is set, and no address needs it"},
		},
		"certificates alone": {
			change: func(_ *testing.T, c *Config) { c.AccessFile = "" },
			risks:  []string{"access_file: none, so that every certificate of tls_client_ca_file"},
		},
		"md5": {
			change: func(_ *testing.T, c *Config) { c.Sources[0].AccessKeys[0].Algorithms = []string{"sha256", "MD5"} },
			risks:  []string{`sources: "nxcloud" access_keys[0] allows md5`},
		},
		"consumers": {
			change: func(t *testing.T, c *Config) {
				t.Helper()
				old := newConsumer("old", "operate: true\nwaba_ids: [\"*\"]\ntypes: [account_update]")
				old.expireTime = "2020-01-01T00:00:00Z"
				c.AccessFile = newRoster(t, newConsumer("all", "waba_ids: [\"*\"]\ntypes: [\"*\"]\noperate: true"), old).path
			},
			risks: []string{`access_file: consumer "all" may operate`, `access_file: consumer "all" has tokens without an end (1)`, `access_file: consumer "old" has tokens that have expired (1)`},
		},
		"certificates of nobody": {
			change: func(t *testing.T, c *Config) {
				t.Helper()
				c.TLSClientCAFile = ""
				c.AccessFile = write(t, "access", "consumers: [{name: a, certificates: [a.internal]}]")
			},
			risks: []string{"access_file: has consumers with certificates, and tls_client_ca_file is not set"},
		},
		"JWTs of nobody": {
			change: func(t *testing.T, c *Config) {
				t.Helper()
				c.AccessFile = write(t, "access", "consumers: [{name: a}]\njwt: {issuer: a, audience: b, algorithms: [ES256], jwks_url: \"https://example.com/\"}")
			},
			risks: []string{"access_file: jwt is set, and no consumer has jwt_subjects"},
		},
		"plaintext pages": {
			change: func(_ *testing.T, c *Config) {
				c.CORSOrigins = []string{"http://console.example.com", "http://localhost:3000", "https://console.example.com"}
			},
			risks: []string{`cors_origins: "http://console.example.com" is plaintext`},
		},
		"loose files": {
			change: func(t *testing.T, c *Config) {
				t.Helper()
				require.NoError(t, os.Mkdir(c.DataDir, 0o700))
				for path, mode := range map[string]os.FileMode{
					c.Sources[0].AccessKeys[0].SecretFile: 0o644, c.AccessFile: 0o660, c.TLSKeyFile: 0o604, c.DataDir: 0o755,
				} {
					require.NoError(t, os.Chmod(path, mode))
				}
			},
			risks: []string{
				`sources: "nxcloud" access_keys[0].secret_file: others on this machine may read or replace it (-rw-r--r--); chmod 600 it`,
				"tls_cert_file, tls_key_file, tls_client_ca_file: others on this machine may read or replace the private key",
				"access_file: others on this machine may write to the access file",
				"data_dir: others on this machine may read or replace it (drwxr-xr-x); chmod 700 it",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := safe(t)
			test.change(t, &config)
			verdict := Check(config, "")
			requirePrefixes(t, test.problems, verdict.Problems)
			requirePrefixes(t, test.risks, verdict.Risks)
		})
	}
}

// requirePrefixes wants each text to begin as said, in that order.
func requirePrefixes(t *testing.T, want, texts []string) {
	t.Helper()
	require.Len(t, texts, len(want), strings.Join(texts, "\n"))
	for i, prefix := range want {
		require.True(t, strings.HasPrefix(texts[i], prefix), "%q\ndoes not begin with\n%q", texts[i], prefix)
	}
}

func TestCheckOfTheFileItself(t *testing.T) {
	t.Parallel()
	path := write(t, "wabastream.yaml", "")
	require.Empty(t, Check(safe(t), path).Risks)
	require.NoError(t, os.Chmod(path, 0o644))
	require.Empty(t, Check(safe(t), path).Risks, "it holds no secret")
	require.NoError(t, os.Chmod(path, 0o666))
	requirePrefixes(t, []string{"config: others on this machine may replace it (-rw-rw-rw-); chmod 600 it"}, Check(safe(t), path).Risks)
}
