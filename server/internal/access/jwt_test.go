package access_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/access"
)

func TestJWT(t *testing.T) {
	t.Parallel()
	rs, es, ed := newSigner(t, "rs", jose.RS256), newSigner(t, "es", jose.ES256), newSigner(t, "ed", jose.EdDSA)
	p := withKeys(t, publish(t, rs, es, ed)).open(t)
	nameless := es
	nameless.id = ""
	for name, token := range map[string]string{
		"RSA":              rs.token(t, nil),
		"ECDSA":            es.token(t, nil),
		"Ed25519":          ed.token(t, nil),
		"without key id":   nameless.token(t, nil),
		"several for whom": es.token(t, map[string]any{"aud": []string{"other", audience}}),
		"clock behind":     es.token(t, map[string]any{"nbf": time.Now().Add(20 * time.Second).Unix(), "iat": time.Now().Add(20 * time.Second).Unix()}),
		"without iat":      es.token(t, map[string]any{"iat": nil}),
		"nested claims":    es.token(t, map[string]any{"groups": []string{"a"}, "realm": map[string]any{"sub": "other"}}),
	} {
		s, err := p.Authenticate(t.Context(), bearer(token))
		require.NoError(t, err, name)
		require.Equal(t, "billing", s.Caller().Name)
		require.WithinDuration(t, time.Now().Add(time.Hour), s.Caller().ExpireTime, 2*time.Second)
	}
}

// TestHostileJWTs get nobody in, and are told why as far as that helps no attacker.
func TestHostileJWTs(t *testing.T) {
	t.Parallel()
	rs, es, stranger := newSigner(t, "rs", jose.RS256), newSigner(t, "es", jose.ES256), newSigner(t, "es", jose.ES256)
	p := withKeys(t, publish(t, rs, es)).open(t)
	good := es.token(t, nil)
	parts := strings.Split(good, ".")
	der, err := x509.MarshalPKIXPublicKey(rs.key.Public())
	require.NoError(t, err)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	publicJWK, err := json.Marshal(rs.public())
	require.NoError(t, err)
	other := es
	other.id = "other"
	crossed := es
	crossed.id = "rs"
	ps := rs
	ps.algorithm = jose.PS256
	set := func(name string, value any) string { return es.token(t, map[string]any{name: value}) }
	soon := time.Now().Add(5 * time.Minute).Unix()
	for name, test := range map[string]struct {
		token string
		err   error
		text  string
	}{
		"no algorithm":            {encoded(`{"alg":"none"}`) + "." + parts[1] + ".", access.ErrInvalid, "an algorithm that is not accepted"},
		"NoNe":                    {encoded(`{"alg":"NoNe","kid":"es"}`) + "." + parts[1] + "." + parts[2], access.ErrInvalid, "an algorithm"},
		"no algorithm, signature": {encoded(`{"kid":"es"}`) + "." + parts[1] + "." + parts[2], access.ErrInvalid, ""},
		"HMAC by the PEM":         {hmacSigned(t, publicPEM, payload(t, nil)), access.ErrInvalid, "an algorithm"},
		"HMAC by the DER":         {hmacSigned(t, der, payload(t, nil)), access.ErrInvalid, "an algorithm"},
		"HMAC by the JWK":         {hmacSigned(t, publicJWK, payload(t, nil)), access.ErrInvalid, "an algorithm"},
		"not allowed":             {ps.token(t, nil), access.ErrInvalid, "an algorithm"},
		"another key's id":        {crossed.token(t, nil), access.ErrInvalid, "none of the issuer's keys"},
		"unknown key":             {other.token(t, nil), access.ErrInvalid, "none of the issuer's keys"},
		"a stranger's key":        {stranger.token(t, nil), access.ErrInvalid, "none of the issuer's keys"},
		"its own key":             {stranger.sign(t, payload(t, nil), map[jose.HeaderKey]any{"jwk": stranger.public()}), access.ErrInvalid, "none of"},
		"its own URL":             {stranger.sign(t, payload(t, nil), map[jose.HeaderKey]any{"jku": "https://example.com/keys", "x5u": "https://example.com/x"}), access.ErrInvalid, "none of"},
		"no signature":            {parts[0] + "." + parts[1] + ".", access.ErrInvalid, ""},
		"two parts":               {parts[0] + "." + parts[1], access.ErrInvalid, "nor a JWT"},
		"four parts":              {good + ".e30", access.ErrInvalid, "nor a JWT"},
		"encrypted":               {encoded(`{"alg":"dir","enc":"A128GCM"}`) + "..AAAA.AAAA.AAAA", access.ErrInvalid, "nor a JWT"},
		"other claims":            {parts[0] + "." + encoded(`{"sub":"billing@example.com"}`) + "." + parts[2], access.ErrInvalid, "none of"},
		"critical":                {es.sign(t, payload(t, nil), map[jose.HeaderKey]any{"crit": []string{"exp"}}), access.ErrInvalid, "cannot be read"},
		"JSON":                    {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, access.ErrInvalid, "nor a JWT"},
		"with a space":            {good + " ", access.ErrInvalid, ""},
		"padded":                  {good + "=", access.ErrInvalid, ""},
		"huge":                    {set("pad", strings.Repeat("a", 16<<10)), access.ErrInvalid, "longer than"},
		"deep":                    {encoded(strings.Repeat(`{"a":`, 2000)) + ".e30.e30", access.ErrInvalid, "nor a JWT"},
		"nested":                  {es.sign(t, []byte(good), map[jose.HeaderKey]any{"cty": "JWT"}), access.ErrInvalid, "cannot be read"},
		"a list":                  {es.sign(t, []byte(`[]`), nil), access.ErrInvalid, "cannot be read"},
		"null":                    {es.sign(t, []byte(`null`), nil), access.ErrInvalid, "another issuer"},
		"claims twice":            {es.sign(t, slices.Concat([]byte(`{"sub":"other",`), payload(t, nil)[1:]), nil), access.ErrInvalid, "cannot be read"},
		"another issuer":          {set("iss", issuerName+"/"), access.ErrInvalid, "another issuer"},
		"no issuer":               {set("iss", nil), access.ErrInvalid, "another issuer"},
		"another audience":        {set("aud", "wabastream2"), access.ErrInvalid, "another audience"},
		"no audience":             {set("aud", nil), access.ErrInvalid, "another audience"},
		"audience of numbers":     {set("aud", []int{1}), access.ErrInvalid, "cannot be read"},
		"over":                    {set("exp", time.Now().Add(-time.Second).Unix()), access.ErrExpired, "since"},
		"long over":               {set("exp", 1), access.ErrExpired, "since 1970"},
		"no end":                  {set("exp", nil), access.ErrInvalid, "has no end"},
		"end is a text":           {set("exp", "tomorrow"), access.ErrInvalid, "cannot be read"},
		"end of time":             {set("exp", 1e300), access.ErrInvalid, "cannot be read"},
		"too early":               {set("nbf", soon), access.ErrInvalid, "not valid yet"},
		"from the future":         {set("iat", soon), access.ErrInvalid, "not valid yet"},
		"nobody":                  {set("sub", "other@example.com"), access.ErrInvalid, `"sub" names no consumer`},
		"by the name":             {set("sub", "billing"), access.ErrInvalid, "names no consumer"},
		"no subject":              {set("sub", nil), access.ErrInvalid, `no text in "sub"`},
		"a list of subjects":      {set("sub", []string{"billing@example.com"}), access.ErrInvalid, ""},
		"not a JWT":               {"hunter2", access.ErrInvalid, "nor a JWT"},
		"dots":                    {"..", access.ErrInvalid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := p.Authenticate(t.Context(), bearer(test.token))
			require.ErrorIs(t, err, test.err)
			require.ErrorContains(t, err, test.text)
			require.Nil(t, s)
			require.NotContains(t, err.Error(), "go-jose")
			require.NotContains(t, err.Error(), "example.com")
		})
	}
}

func hmacSigned(t *testing.T, secret, text []byte) string {
	t.Helper()
	by, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: secret}, &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"kid": "rs"}})
	require.NoError(t, err)
	signed, err := by.Sign(text)
	require.NoError(t, err)
	token, err := signed.CompactSerialize()
	require.NoError(t, err)
	return token
}

// TestConsumerClaim names consumers by another claim than sub.
func TestConsumerClaim(t *testing.T) {
	t.Parallel()
	es := newSigner(t, "es", jose.ES256)
	s := withKeys(t, publish(t, es))
	s.write(t, jwtFile("jwks_file: "+s.keysFile()+"\n  consumer_claim: client_id", ""))
	p := s.open(t)
	_, err := p.Authenticate(t.Context(), bearer(es.token(t, nil)))
	require.ErrorIs(t, err, access.ErrInvalid)
	require.ErrorContains(t, err, `"client_id"`)
	session, err := p.Authenticate(t.Context(), bearer(es.token(t, map[string]any{"sub": "x", "client_id": "billing@example.com"})))
	require.NoError(t, err)
	require.Equal(t, "billing", session.Caller().Name)
}

// TestTokensBesideJWTs keeps either from passing for the other.
func TestTokensBesideJWTs(t *testing.T) {
	t.Parallel()
	token, hash := access.NewToken()
	es := newSigner(t, "es", jose.ES256)
	s := withKeys(t, publish(t, es))
	s.write(t, jwtFile("jwks_file: "+s.keysFile(), consumer("support", hash, "operate: true")))
	p := s.open(t)
	require.Equal(t, "support", admit(t, p, token).Caller().Name)
	require.Equal(t, "billing", admit(t, p, es.token(t, nil)).Caller().Name)
	unknown, _ := access.NewToken()
	_, err := p.Authenticate(t.Context(), bearer(unknown))
	require.ErrorIs(t, err, access.ErrInvalid)
	require.Equal(t, map[string]float64{"token accepted": 1, "token invalid": 1, "jwt accepted": 1},
		s.counters(t, "wabastream_authentications_total"))
}

// TestSessionsOfJWTs end when what they were let in by is not so any more.
func TestSessionsOfJWTs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(t *testing.T, s *site, es signer)
		err    error
	}{
		"time": {func(*testing.T, *site, signer) { pass(time.Hour) }, access.ErrExpired},
		"the key is withdrawn": {func(t *testing.T, s *site, _ signer) {
			t.Helper()
			writeFile(t, s.keysFile(), publish(t, newSigner(t, "es", jose.ES256)))
		}, access.ErrInvalid},
		"the subject is not named": {func(t *testing.T, s *site, _ signer) {
			t.Helper()
			s.write(t, strings.ReplaceAll(jwtFile("jwks_file: "+s.keysFile(), ""), "[billing@", "[support@"))
		}, access.ErrInvalid},
		"another issuer": {func(t *testing.T, s *site, _ signer) {
			t.Helper()
			s.write(t, strings.ReplaceAll(jwtFile("jwks_file: "+s.keysFile(), ""), issuerName, issuerName+"/"))
		}, access.ErrInvalid},
		"another claim": {func(t *testing.T, s *site, _ signer) {
			t.Helper()
			s.write(t, jwtFile("jwks_file: "+s.keysFile()+"\n  consumer_claim: azp", ""))
		}, access.ErrInvalid},
		"not its algorithm": {func(t *testing.T, s *site, _ signer) {
			t.Helper()
			s.write(t, strings.ReplaceAll(jwtFile("jwks_file: "+s.keysFile(), ""), "ES256, ", ""))
		}, access.ErrInvalid},
		"no JWTs": {func(t *testing.T, s *site, _ signer) { t.Helper(); s.write(t, "consumers: [{name: billing}]") }, access.ErrInvalid},
		"one key more": {func(t *testing.T, s *site, es signer) {
			t.Helper()
			writeFile(t, s.keysFile(), publish(t, newSigner(t, "new", jose.ES256), es))
		}, nil},
		"one algorithm more": {func(t *testing.T, s *site, _ signer) {
			t.Helper()
			s.write(t, strings.ReplaceAll(jwtFile("jwks_file: "+s.keysFile(), ""), "ES256, ", "ES256, PS256, "))
		}, nil},
		"keys that cannot be read": {func(t *testing.T, s *site, _ signer) { t.Helper(); writeFile(t, s.keysFile(), "{") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				es := newSigner(t, "es", jose.ES256)
				s := withKeys(t, publish(t, es))
				p := s.follow(t)
				w := watch(admit(t, p, es.token(t, nil)))
				test.change(t, s, es)
				pass(settled)
				if test.err == nil {
					require.NoError(t, w.Err())
					require.Zero(t, w.changed())
					admit(t, p, es.token(t, nil))
					return
				}
				require.ErrorIs(t, w.Err(), test.err)
				require.Equal(t, 1, w.changed())
			})
		})
	}
}

// TestKeysFileThatCannotBeUsed is refused once, and taken up when it is mended,
// although the access file is the same.
func TestKeysFileThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		es, next := newSigner(t, "es", jose.ES256), newSigner(t, "next", jose.ES256)
		s := withKeys(t, publish(t, es))
		p := s.follow(t)
		writeFile(t, s.keysFile(), `{"keys":[]}`)
		pass(time.Minute)
		require.Len(t, s.lines.with("refused"), 1)
		require.Len(t, s.lines.with("jwt.jwks_file: the file it names: no key that signs"), 1)
		writeFile(t, s.keysFile(), publish(t, es, next))
		pass(settled)
		admit(t, p, next.token(t, nil))

		// Another name for the file, where there is none yet.
		s.write(t, jwtFile("jwks_file: "+s.keysFile()+"2", ""))
		pass(time.Minute)
		require.Len(t, s.lines.with("refused"), 2)
		admit(t, p, next.token(t, nil))
		writeFile(t, s.keysFile()+"2", publish(t, es))
		pass(settled)
		_, err := p.Authenticate(t.Context(), bearer(next.token(t, nil)))
		require.ErrorIs(t, err, access.ErrInvalid)
		require.Len(t, s.lines.with("refused; what"), 2)
	})
}
