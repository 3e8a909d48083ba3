package access_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/access"
)

// TestAuthenticate is who gets in with what.
func TestAuthenticate(t *testing.T) {
	t.Parallel()
	billing, billingHash := access.NewToken()
	next, nextHash := access.NewToken()
	old, oldHash := access.NewToken()
	unknown, _ := access.NewToken()
	tomorrow := time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
	yesterday := time.Now().Add(-24 * time.Hour)
	p := opened(t, `
consumers:
  - name: billing
    tokens:
      - "`+billingHash+`"
      - {hash: "`+nextHash+`", expire_time: `+tomorrow.Format(time.RFC3339)+`}
      - {hash: "`+oldHash+`", expire_time: "2020-01-01T00:00:00Z"}
    certificates: ["billing.internal", "spiffe://example/billing"]
    waba_ids: ["2", "1"]
    types: [account_update, account_review_update.approved]
    unattributed: true
    personal_data: full
    raw_json: true
    max_streams: 7
    operate: true
    metrics: true
  - name: support
    certificates: ["CN=Support Team", "Support.Internal"]
    waba_ids: ["*"]
    types: ["*"]
  - name: nothing
    certificates: ["CN=spiffe://example/nothing"]
`)
	for name, test := range map[string]struct {
		credentials access.Credentials
		want        string // the consumer
		err         error
		text        string
		expireTime  time.Time
	}{
		"nothing":           {err: access.ErrMissing, text: "authorization: Bearer"},
		"token":             {credentials: access.Credentials{Bearer: billing}, want: "billing"},
		"token with an end": {credentials: access.Credentials{Bearer: next}, want: "billing", expireTime: tomorrow},
		"expired token":     {credentials: access.Credentials{Bearer: old}, err: access.ErrExpired, text: "since 2020-01-01T00:00:00Z"},
		"unknown token":     {credentials: access.Credentials{Bearer: unknown}, err: access.ErrInvalid, text: "the token is not known"},
		"its hash":          {credentials: access.Credentials{Bearer: billingHash}, err: access.ErrInvalid},
		"cut off":           {credentials: access.Credentials{Bearer: billing[:len(billing)-1]}, err: access.ErrInvalid},
		"one more":          {credentials: access.Credentials{Bearer: billing + "a"}, err: access.ErrInvalid},
		"with a space":      {credentials: access.Credentials{Bearer: billing + " "}, err: access.ErrInvalid},
		"upper case":        {credentials: access.Credentials{Bearer: strings.ToUpper(billing)}, err: access.ErrInvalid},
		"huge":              {credentials: access.Credentials{Bearer: strings.Repeat(billing, 10_000)}, err: access.ErrInvalid},
		"URI": {
			credentials: access.Credentials{Certificate: certificate(t, tomorrow, "spiffe://example/billing")},
			want:        "billing", expireTime: tomorrow,
		},
		"DNS name":       {credentials: access.Credentials{Certificate: certificate(t, tomorrow, "billing.internal")}, want: "billing", expireTime: tomorrow},
		"in other case":  {credentials: access.Credentials{Certificate: certificate(t, tomorrow, "sUPPORT.iNTERNAL")}, want: "support", expireTime: tomorrow},
		"among others":   {credentials: access.Credentials{Certificate: certificate(t, tomorrow, "a.internal", "b.internal", "billing.internal")}, want: "billing", expireTime: tomorrow},
		"named twice":    {credentials: access.Credentials{Certificate: certificate(t, tomorrow, "spiffe://example/billing", "billing.internal", "CN=billing")}, want: "billing", expireTime: tomorrow},
		"common name":    {credentials: access.Credentials{Certificate: certificate(t, tomorrow, "CN=Support Team")}, want: "support", expireTime: tomorrow},
		"CN in URI form": {credentials: access.Credentials{Certificate: certificate(t, tomorrow, "CN=spiffe://example/billing")}, err: access.ErrInvalid},
		"CN like a DNS name": {
			credentials: access.Credentials{Certificate: certificate(t, tomorrow, "CN=billing.internal")}, err: access.ErrInvalid, text: "names no consumer",
		},
		"CN as the file has it": {credentials: access.Credentials{Certificate: certificate(t, tomorrow, "CN=spiffe://example/nothing")}, want: "nothing", expireTime: tomorrow},
		"URI in CN form":        {credentials: access.Credentials{Certificate: certificate(t, tomorrow, "spiffe://example/nothing")}, err: access.ErrInvalid},
		"two consumers": {
			credentials: access.Credentials{Certificate: certificate(t, tomorrow, "billing.internal", "support.internal")},
			err:         access.ErrInvalid, text: "more than one consumer",
		},
		"nobody's certificate": {credentials: access.Credentials{Certificate: certificate(t, tomorrow, "other.internal")}, err: access.ErrInvalid},
		"nameless certificate": {credentials: access.Credentials{Certificate: certificate(t, tomorrow)}, err: access.ErrInvalid},
		"expired certificate":  {credentials: access.Credentials{Certificate: certificate(t, yesterday, "billing.internal")}, err: access.ErrExpired},
		"the token counts": {
			credentials: access.Credentials{Bearer: billing, Certificate: certificate(t, tomorrow, "support.internal")}, want: "billing",
		},
		"also a bad one": {
			credentials: access.Credentials{Bearer: unknown, Certificate: certificate(t, tomorrow, "support.internal")}, err: access.ErrInvalid,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := p.Authenticate(t.Context(), test.credentials)
			if test.err != nil {
				require.ErrorIs(t, err, test.err)
				require.ErrorContains(t, err, test.text)
				require.Nil(t, s)
				if test.credentials.Bearer != "" {
					require.NotContains(t, err.Error(), test.credentials.Bearer)
				}
				return
			}
			require.NoError(t, err)
			require.NoError(t, s.Err())
			require.Equal(t, test.want, s.Caller().Name)
			require.True(t, test.expireTime.Equal(s.Caller().ExpireTime), s.Caller().ExpireTime)
		})
	}
	t.Run("grants", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, access.Grant{
			WABAIDs: []string{"1", "2"}, Unattributed: true, Types: []string{"account_review_update.approved", "account_update"},
			RawJSON: true, PersonalData: access.PersonalDataFull, MaxStreams: 7, Operate: true, Metrics: true,
		}, admit(t, p, billing).Caller().Grant)
		grantOf := func(name string) access.Grant {
			s, err := p.Authenticate(t.Context(), access.Credentials{Certificate: certificate(t, tomorrow, name)})
			require.NoError(t, err)
			return s.Caller().Grant
		}
		require.Equal(t, access.Grant{AllWABAs: true, AllTypes: true}, grantOf("support.internal"))
		require.Equal(t, access.Grant{}, grantOf("CN=spiffe://example/nothing"), "what is not mentioned is withheld")
	})
}

func TestEveryone(t *testing.T) {
	t.Parallel()
	p := access.Everyone()
	run(t, p)
	for _, c := range []access.Credentials{{}, {Bearer: "anything"}, {Certificate: certificate(t, time.Time{}, "a.internal")}} {
		s, err := p.Authenticate(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, access.Caller{Grant: access.Everything()}, s.Caller())
		s.OnChange(func() {})()
	}
	require.Empty(t, p.Pseudonym("15557902885"))
}

func TestPseudonym(t *testing.T) {
	t.Parallel()
	const consumers = "\nconsumers: [{name: a, personal_data: hashed}]\n"
	p := opened(t, "personal_data_key_env: "+keyEnv+consumers)
	one := p.Pseudonym("15557902885")
	require.Regexp(t, `^pseudonym_[A-Za-z0-9_-]{22}$`, one)
	require.NotEqual(t, one, p.Pseudonym("15557902886"))

	s := newSite(t, "")
	key := s.config.File + ".key"
	writeFile(t, key, testKey+"\n")
	s.write(t, "personal_data_key_file: "+key+consumers)
	require.Equal(t, one, s.open(t).Pseudonym("15557902885"), "the same by the same key, wherever it is from, less its line break")

	writeFile(t, key, strings.Repeat("another key", 3))
	require.NotEqual(t, one, s.restarted().open(t).Pseudonym("15557902885"))
}

func TestRefusalsAreCountedAndLoggedNowAndThen(t *testing.T) {
	t.Parallel()
	token, hash := access.NewToken()
	s := newSite(t, "consumers: [{name: a, tokens: [\""+hash+"\"]}, {name: b, certificates: [b.internal]}]")
	p := s.open(t)
	guess, _ := access.NewToken()
	for range 1000 {
		_, err := p.Authenticate(t.Context(), access.Credentials{Bearer: guess})
		require.ErrorIs(t, err, access.ErrInvalid)
	}
	admit(t, p, token)
	_, err := p.Authenticate(t.Context(), access.Credentials{Certificate: certificate(t, time.Time{}, "c.internal", "CN=c")})
	require.ErrorIs(t, err, access.ErrInvalid)
	_, err = p.Authenticate(t.Context(), access.Credentials{Certificate: certificate(t, time.Unix(1, 0), "b.internal")})
	require.ErrorIs(t, err, access.ErrExpired)
	require.Equal(t, map[string]float64{
		"token accepted": 1, "token invalid": 1000, "certificate invalid": 1, "certificate expired": 1,
	}, s.counters(t, "wabastream_authentications_total"))
	refusals := s.lines.with("not let in")
	require.Len(t, refusals, 3)
	require.Contains(t, refusals[1], `who="c.internal, CN=c"`)
	require.Contains(t, refusals[2], "who=b ")
	require.Empty(t, s.lines.with(guess))
	require.Empty(t, s.lines.with(token))
	require.Empty(t, s.lines.with(strings.TrimPrefix(hash, "sha256:")))
}
