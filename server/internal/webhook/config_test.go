package webhook

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*Config)
		want   string
	}{
		"no log":                 {func(c *Config) { c.Log = nil }, "log: required"},
		"no source":              {func(c *Config) { c.Sources = nil }, "sources: at least one"},
		"negative timeout":       {func(c *Config) { c.AppendTimeout = -1 }, "append_timeout: must not be negative"},
		"same name twice":        {func(c *Config) { c.Sources = append(c.Sources, c.Sources[0]) }, `source "nxcloud": name: used by two`},
		"empty name":             {func(c *Config) { c.Sources[0].Name = "" }, `source "": name: must be`},
		"upper-case name":        {func(c *Config) { c.Sources[0].Name = "NX" }, `source "NX": name: must be`},
		"name with slash":        {func(c *Config) { c.Sources[0].Name = "a/b" }, "name: must be"},
		"name with line end":     {func(c *Config) { c.Sources[0].Name = "a\n" }, "name: must be"},
		"long name":              {func(c *Config) { c.Sources[0].Name = strings.Repeat("a", 65) }, "name: must be"},
		"nothing would pass":     {func(c *Config) { c.Sources[0].AllowUnsigned = false }, "every callback would be refused"},
		"empty key":              {withKey(AccessKey{Secret: testSecret}), "access_keys[0].key: must be"},
		"key with space":         {withKey(AccessKey{Key: "a b", Secret: testSecret}), "access_keys[0].key: must be"},
		"empty secret":           {withKey(AccessKey{Key: testKey}), "access_keys[0].secret: must not be blank"},
		"blank secret":           {withKey(AccessKey{Key: testKey, Secret: " \t"}), "access_keys[0].secret: must not be blank"},
		"unknown algorithm":      {withKey(AccessKey{Key: testKey, Secret: testSecret, Algorithms: []Algorithm{"SHA256"}}), `"SHA256" is not one of`},
		"key twice":              {withKey(AccessKey{Key: testKey, Secret: "a"}, AccessKey{Key: testKey, Secret: "b"}), "access_keys[1].key: listed twice"},
		"body bound too large":   {func(c *Config) { c.Sources[0].MaxBodyBytes = 1_900_001 }, "max_body_bytes: must be 1 to 1900000"},
		"body bound negative":    {func(c *Config) { c.Sources[0].MaxBodyBytes = -1 }, "max_body_bytes: must be"},
		"tolerance without key":  {func(c *Config) { c.Sources[0].TimestampTolerance = 1 }, "timestamp_tolerance: has no effect"},
		"negative tolerance":     {func(c *Config) { c.Sources[0].TimestampTolerance = -1 }, "timestamp_tolerance: must not be negative"},
		"negative horizon":       {func(c *Config) { c.Sources[0].DuplicateHorizon = -1 }, "source \"nxcloud\": duplicate_horizon: must not be negative"},
		"negative other horizon": {func(c *Config) { c.Sources[0].UntimedDuplicateHorizon = -1 }, "untimed_duplicate_horizon: must not be negative"},
		"empty discard":          {func(c *Config) { c.Sources[0].Discard = []string{""} }, `discard: "" is not a type path`},
		"discard everything":     {func(c *Config) { c.Sources[0].Discard = []string{"*"} }, `discard: "*" is not a type path`},
		"discard ends in dot":    {func(c *Config) { c.Sources[0].Discard = []string{"messages."} }, "is not a type path"},
		"discard upper case":     {func(c *Config) { c.Sources[0].Discard = []string{"Messages"} }, "is not a type path"},
		"long discard":           {func(c *Config) { c.Sources[0].Discard = []string{strings.Repeat("abcdefg.", 40) + "a"} }, "is not a type path"},
		"empty number":           {withNumber("+ ()", "1"), `numbers: "+ ()" is not a phone number`},
		"empty WABA":             {withNumber("1", ""), `numbers: "1": the WABA must be`},
		"WABA with space":        {withNumber("1", "2 "), "the WABA must be"},
		"long WABA":              {withNumber("1", strings.Repeat("1", 257)), "the WABA must be"},
		"number twice": {func(c *Config) {
			c.Sources[0].Numbers = map[string]string{"+1 555": "1", "1555": "2"}
		}, `numbers: "1555" is listed twice`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{Log: &fakeLog{}, Sources: []Source{{Name: "nxcloud", AllowUnsigned: true}}}
			_, err := New(cfg)
			require.NoError(t, err)
			tt.change(&cfg)
			_, err = New(cfg)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), testSecret)
		})
	}
}

func withKey(keys ...AccessKey) func(*Config) {
	return func(c *Config) { c.Sources[0].AccessKeys = keys }
}

func withNumber(number, waba string) func(*Config) {
	return func(c *Config) { c.Sources[0].Numbers = map[string]string{number: waba} }
}

func TestNewListsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Sources: []Source{{Name: "a"}, {Name: "B", AllowUnsigned: true, Discard: []string{"."}}}})
	require.ErrorContains(t, err, "log: required")
	require.ErrorContains(t, err, `source "a": access_keys: none`)
	require.ErrorContains(t, err, `source "B": name: must be`)
	require.ErrorContains(t, err, `source "B": discard: "." is not`)
}

// Who puts the secret where the key belongs must not find it in the log.
func TestNewDoesNotShowSwappedSecret(t *testing.T) {
	t.Parallel()
	const secret = "p@ss word!"
	_, err := New(Config{Log: &fakeLog{}, Sources: []Source{{Name: "a", AccessKeys: []AccessKey{{Key: secret, Secret: testKey}}}}})
	require.ErrorContains(t, err, "access_keys[0].key")
	require.NotContains(t, err.Error(), secret)
}

func TestNewRefusesTakenMetrics(t *testing.T) {
	t.Parallel()
	cfg := Config{Log: &fakeLog{}, Sources: []Source{{Name: "a", AllowUnsigned: true}}, Registerer: prometheus.NewRegistry()}
	_, err := New(cfg)
	require.NoError(t, err)
	_, err = New(cfg)
	require.ErrorContains(t, err, "register metrics")
}

func TestSourceDefaults(t *testing.T) {
	t.Parallel()
	s := newSource(Source{})
	require.EqualValues(t, 1<<20, s.maxBody)
	require.Equal(t, 7*24*time.Hour, s.horizon)
	require.Equal(t, 2*time.Hour, s.untimedHorizon)
	require.Equal(t, 30*time.Second, Config{}.withDefaults().AppendTimeout)
}
