package access_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/access"
)

// someHash is one that no token has.
const someHash = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// TestRefusedFiles has what cannot be used, and what is said about it.
func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file string
		want []string
	}{
		"nothing":         {"", []string{"empty"}},
		"only a comment":  {"# later\n", []string{"holds nothing"}},
		"not YAML":        {"consumers: [", []string{"line 1"}},
		"a list":          {"- a\n", []string{"line 1: want members such as consumers"}},
		"two documents":   {"consumers: [{name: a}]\n---\nconsumers: [{name: b}]\n", []string{"more than one document"}},
		"no consumers":    {"personal_data_key_env: " + keyEnv, []string{"no consumers"}},
		"empty list":      {"consumers: []", []string{"no consumers"}},
		"null":            {"consumers:\n", []string{"line 1: consumers is empty"}},
		"unknown member":  {"consumers: []\nconsumer: []\n", []string{"line 2: unknown member \"consumer\"; known are consumers, "}},
		"unknown grant":   {"consumers:\n- name: a\n  operator: true\n", []string{"consumers[0] (line 3): unknown member \"operator\""}},
		"merge key":       {"consumers:\n- &a {name: a}\n- {<<: *a}\n", []string{"unknown member \"<<\""}},
		"twice":           {"consumers:\n- name: a\n  name: b\n", []string{"consumers[0] (line 3): name is set twice"}},
		"alias":           {"consumers:\n- {name: a, waba_ids: &all [\"1\"]}\n- {name: b, waba_ids: *all}\n", []string{"consumers[1].waba_ids (line 3): aliases are not followed"}},
		"nameless":        {"consumers: [{operate: true}]", []string{"consumers[0] (line 1): give the consumer a name"}},
		"bad name":        {"consumers: [{name: \"Billing Team\"}]", []string{"\"Billing Team\" is not a name"}},
		"name twice":      {"consumers: [{name: a}, {name: a}]", []string{"consumers[1].name (line 1): the same as consumers[0].name"}},
		"not a consumer":  {"consumers: [a]", []string{"consumers[0] (line 1): want members such as certificates"}},
		"consumer of one": {"consumers: {name: a}", []string{"consumers (line 1): want a list"}},
		"number as id":    {"consumers: [{name: a, waba_ids: [0161]}]", []string{`consumers[0].waba_ids[0] (line 1): 0161 is a number to YAML, which may change it; put it in quotes: "0161"`}},
		"float as id":     {"consumers: [{name: a, waba_ids: [1e3]}]", []string{`put it in quotes: "1e3"`}},
		"null as id":      {"consumers: [{name: a, waba_ids: [~]}]", []string{"not a text to YAML; put it in quotes"}},
		"truth as type":   {"consumers: [{name: a, types: [true]}]", []string{"not a text to YAML; put it in quotes"}},
		"binary":          {"consumers: [{name: a, types: [!!binary YQ==]}]", []string{"not a text to YAML"}},
		"id with star":    {"consumers: [{name: a, waba_ids: [\"16*\"]}]", []string{"not an id"}},
		"empty id":        {"consumers: [{name: a, waba_ids: [\" \"]}]", []string{"consumers[0].waba_ids[0] (line 1): empty"}},
		"long id":         {"consumers: [{name: a, waba_ids: [\"" + strings.Repeat("1", 257) + "\"]}]", []string{"257 bytes; at most 256 are allowed"}},
		"line break":      {"consumers: [{name: a, waba_ids: [\"1\\n2\"]}]", []string{"line break"}},
		"id twice":        {"consumers: [{name: a, waba_ids: [\"1\", \"1\"]}]", []string{"consumers[0].waba_ids[1] (line 1): \"1\" is listed twice"}},
		"all and some":    {"consumers: [{name: a, waba_ids: [\"*\", \"1\"]}]", []string{"list it alone"}},
		"one id":          {"consumers: [{name: a, waba_ids: \"1\"}]", []string{"consumers[0].waba_ids (line 1): want a list"}},
		"bad type":        {"consumers: [{name: a, types: [\"Account.\"]}]", []string{"\"Account.\": not a type path"}},
		"type with star":  {"consumers: [{name: a, types: [\"account_update.*\"]}]", []string{"not a type path"}},
		"not a truth":     {"consumers: [{name: a, operate: \"true\"}]", []string{"consumers[0].operate (line 1): want true or false"}},
		"yes":             {"consumers: [{name: a, operate: yes}]", []string{"want true or false"}},
		"no streams":      {"consumers: [{name: a, max_streams: 0}]", []string{"want a number, at least 1"}},
		"half a stream":   {"consumers: [{name: a, max_streams: 0.5}]", []string{"want a number, at least 1"}},
		"personal data":   {"consumers: [{name: a, personal_data: some}]", []string{"want none, hashed or full"}},
		"raw JSON alone":  {"consumers: [{name: a, raw_json: true}]", []string{"consumers[0] (line 1): raw_json", "personal_data: full"}},
		"raw JSON hashed": {"personal_data_key_env: " + keyEnv + "\nconsumers: [{name: a, raw_json: true, personal_data: hashed}]", []string{"personal_data: full"}},
		"hashed, no key":  {"consumers: [{name: a, personal_data: hashed}]", []string{"personal_data: hashed needs a key"}},
		"two keys":        {"personal_data_key_env: " + keyEnv + "\npersonal_data_key_file: b\nconsumers: [{name: a}]", []string{"not both"}},
		"short key":       {"personal_data_key_env: " + shortKeyEnv + "\nconsumers: [{name: a}]", []string{"personal_data_key_env: ", "has 31 bytes; want at least 32"}},
		"no key file":     {"personal_data_key_file: no-such-file\nconsumers: [{name: a}]", []string{"personal_data_key_file: ", "no such file"}},
		"hash twice":      {"consumers: [{name: a, tokens: [" + quoted(someHash) + "]}, {name: b, tokens: [{hash: " + quoted(someHash) + "}]}]", []string{"consumers[1].tokens[0].hash (line 1): the same as consumers[0].tokens[0]"}},
		"no hash":         {"consumers: [{name: a, tokens: [{expire_time: 2030-01-01T00:00:00Z}]}]", []string{"consumers[0].tokens[0] (line 1): no hash of a token"}},
		"end is a date":   {"consumers: [{name: a, tokens: [{hash: " + quoted(someHash) + ", expire_time: 2030-01-01}]}]", []string{"tokens[0].expire_time (line 1): want a time with its zone, such as 2027-01-31T00:00:00Z"}},
		"DNS name twice":  {"consumers: [{name: a, certificates: [a.internal]}, {name: b, certificates: [A.Internal]}]", []string{"consumers[1].certificates[0] (line 1): the same as consumers[0].certificates[0]"}},
		"wildcard":        {"consumers: [{name: a, certificates: [\"*.internal\"]}]", []string{"DNS name without wildcards"}},
		"JWT subjects":    {"consumers: [{name: a, jwt_subjects: [a]}]", []string{"jwt_subjects need jwt"}},
		"subject twice":   {jwtFile("jwks_file: x", "  - {name: b, jwt_subjects: [billing@example.com]}\n"), []string{"consumers[1].jwt_subjects[0] (line 8): the same as consumers[0].jwt_subjects[0]"}},
		"empty JWT":       {"jwt: {}\nconsumers: [{name: a}]", []string{"jwt (line 1): set issuer", "jwt (line 1): set audience", "jwt (line 1): set algorithms", "set exactly one of jwks_file and jwks_url"}},
		"JWT is a text":   {"jwt: a\nconsumers: [{name: a}]", []string{"jwt (line 1): want members such as algorithms"}},
		"both keys":       {jwtFile("jwks_file: x\n  jwks_url: https://a.example.com", ""), []string{"set exactly one of jwks_file and jwks_url"}},
		"no algorithms":   {strings.ReplaceAll(jwtFile("jwks_file: x", ""), "RS256, ES256, EdDSA", ""), []string{"algorithms: none listed"}},
		"none":            {strings.ReplaceAll(jwtFile("jwks_file: x", ""), "EdDSA", "None"), []string{"jwt.algorithms[2] (line 4): none is no signature"}},
		"HMAC":            {strings.ReplaceAll(jwtFile("jwks_file: x", ""), "EdDSA", "HS256"), []string{"jwt.algorithms[2] (line 4): \"HS256\" is made with a shared secret"}},
		"no algorithm":    {strings.ReplaceAll(jwtFile("jwks_file: x", ""), "EdDSA", "RS1"), []string{"\"RS1\" is not an algorithm; want one of RS256, RS384"}},
		"algorithm twice": {strings.ReplaceAll(jwtFile("jwks_file: x", ""), "EdDSA", "ES256"), []string{"jwt.algorithms[2] (line 4): \"ES256\" is listed twice"}},
		"plaintext URL":   {jwtFile("jwks_url: http://login.example.com/keys", ""), []string{"jwt.jwks_url (line 5): want https"}},
		"http to a name":  {jwtFile("jwks_url: http://localhost.example.com/keys", ""), []string{"want https"}},
		"another scheme":  {jwtFile("jwks_url: file:///etc/keys", ""), []string{"jwt.jwks_url (line 5): not a URL"}},
		"not a URL":       {jwtFile("jwks_url: keys", ""), []string{"not a URL"}},
		"password in URL": {jwtFile("jwks_url: https://a:hunter2@login.example.com/keys", ""), []string{"a URL with a user or password"}},
		"no keys file":    {jwtFile("jwks_file: no-such-file", ""), []string{"jwt.jwks_file: the file it names: read: no such file"}},
		"empty CN":        {"consumers: [{name: a, certificates: [CN=]}]", []string{"CN= names nobody"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, test.file)
			_, err := access.Open(s.config)
			require.ErrorContains(t, err, fmt.Sprintf("access file %q: ", s.config.File))
			for _, want := range test.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "%!")
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

// TestEveryProblemIsTold, up to a number that can be read.
func TestEveryProblemIsTold(t *testing.T) {
	t.Parallel()
	_, err := access.Open(newSite(t, "consumers:\n"+strings.Repeat("- name: 1\n  operate: 2\n", 15)).config)
	require.ErrorContains(t, err, "consumers[0].name (line 2): 1 is a number")
	require.ErrorContains(t, err, "consumers[0].operate (line 3): want true or false")
	require.ErrorContains(t, err, "consumers[9].operate (line 21)")
	require.ErrorContains(t, err, "and 10 more")
	require.Equal(t, 21, strings.Count(err.Error(), "\n")+1)
}

// TestTokenInTheFile is refused with what to do instead, and not repeated.
func TestTokenInTheFile(t *testing.T) {
	t.Parallel()
	token, hash := access.NewToken()
	for _, text := range []string{token, "sha256:" + token, strings.TrimPrefix(hash, "sha256:"), hash[:len(hash)-2], hash + "00", "hunter2"} {
		_, err := access.Open(newSite(t, "consumers: [{name: a, tokens: ["+quoted(text)+"]}]").config)
		require.ErrorContains(t, err, "consumers[0].tokens[0] (line 1): not the hash of a token")
		require.ErrorContains(t, err, "wabastreamd token new")
		require.ErrorContains(t, err, "printf %s TOKEN | sha256sum")
		require.NotContains(t, err.Error(), text)
	}
}

// TestTokens are told from other texts, and from each other.
func TestTokens(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 1000 {
		token, hash := access.NewToken()
		require.Regexp(t, `^wst_[a-z2-7]{52}$`, token)
		require.Regexp(t, `^sha256:[0-9a-f]{64}$`, hash)
		require.False(t, seen[token] || seen[hash])
		seen[token], seen[hash] = true, true
	}
}

// TestFilesOfTheDocumentation are files that a server starts with.
func TestFilesOfTheDocumentation(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "operations.md"))
	require.NoError(t, err)
	found := 0
	for block := range strings.SplitSeq(string(text), "```yaml\n") {
		file, _, _ := strings.Cut(block, "```")
		if !strings.Contains(file, "\nconsumers:\n") {
			continue
		}
		found++
		file = strings.Replace(file, "personal_data_key_file: /run/secrets/pseudonyms", "personal_data_key_env: "+keyEnv, 1)
		p := opened(t, file)
		s, err := p.Authenticate(t.Context(), access.Credentials{})
		require.ErrorIs(t, err, access.ErrMissing)
		require.Nil(t, s)
	}
	require.Equal(t, 2, found)
}
