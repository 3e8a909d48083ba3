package webhook

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type vector struct {
	ID        string `json:"id"`
	AccessKey string `json:"accessKey"`
	Action    string `json:"action"`
	BizType   string `json:"bizType"`
	TS        string `json:"ts"`
	Body      string `json:"body"`
	Secret    string `json:"accessSecret"`
	MD5       string `json:"md5"`
	SHA256    string `json:"sha256"`
}

func (v vector) request(a Algorithm) *http.Request {
	r := newPost(v.Body)
	r.Header.Set("accessKey", v.AccessKey)
	r.Header.Set("action", v.Action)
	r.Header.Set("bizType", v.BizType)
	r.Header.Set("ts", v.TS)
	r.Header.Set("algorithm", string(a))
	r.Header.Set("sign", map[Algorithm]string{MD5: v.MD5, SHA256: v.SHA256}[a])
	return r
}

func readVectors(tb testing.TB) []vector {
	tb.Helper()
	text, err := os.ReadFile("testdata/signature_vectors.json")
	require.NoError(tb, err)
	var file struct {
		Vectors []vector `json:"vectors"`
	}
	require.NoError(tb, json.Unmarshal(text, &file))
	require.NotEmpty(tb, file.Vectors)
	return file.Vectors
}

func TestSignatureVectors(t *testing.T) {
	t.Parallel()
	for _, v := range readVectors(t) {
		for _, algorithm := range []Algorithm{MD5, SHA256} {
			t.Run(v.ID+"/"+string(algorithm), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, Source{AccessKeys: []AccessKey{{Key: v.AccessKey, Secret: v.Secret, Algorithms: []Algorithm{algorithm}}}})
				w := f.do(v.request(algorithm))
				if v.Body == "" {
					// The signature holds; that nothing is not JSON is found after.
					requireRefused(t, w, http.StatusBadRequest, "BODY_NOT_JSON")
				} else {
					requireSuccess(t, w)
				}

				r := v.request(algorithm)
				r.Header.Set("sign", flipFirstDigit(r.Header.Get("sign")))
				requireRefused(t, f.do(r), http.StatusUnauthorized, "SIGNATURE_INVALID")
			})
		}
	}
}

func flipFirstDigit(sign string) string {
	if sign[0] == '0' {
		return "1" + sign[1:]
	}
	return "0" + sign[1:]
}

func TestSignatureAccepts(t *testing.T) {
	t.Parallel()
	md5Sign := referenceSign(MD5, testKey, "mt", "2", "1776221463135", testBody, testSecret)
	tests := map[string]struct {
		source Source
		change func(http.Header)
	}{
		"as signed":           {signedSource(), func(http.Header) {}},
		"upper-case sign":     {signedSource(), func(h http.Header) { h.Set("sign", strings.ToUpper(h.Get("sign"))) }},
		"algorithm any case":  {signedSource(SHA256), func(h http.Header) { h.Set("algorithm", "ShA256") }},
		"no algorithm is MD5": {signedSource(MD5), func(h http.Header) { h.Del("algorithm"); h.Set("sign", md5Sign) }},
		"unknown algorithm is MD5": {signedSource(MD5, SHA256), func(h http.Header) {
			h.Set("algorithm", "sha-256")
			h.Set("sign", md5Sign)
		}},
		"no signature where unsigned is allowed": {
			Source{AccessKeys: signedSource().AccessKeys, AllowUnsigned: true},
			func(h http.Header) { clear(h) },
		},
		"signature where there is nothing to verify with": {unsignedSource(), func(h http.Header) { h.Set("sign", "00") }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, tt.source)
			r := newSignedPost(testBody)
			tt.change(r.Header)
			requireSuccess(t, f.do(r))
			require.Len(t, f.log.stored(), 1)
		})
	}
}

func TestSignatureRefuses(t *testing.T) {
	t.Parallel()
	both := signedSource(SHA256, MD5)
	md5Sign := referenceSign(MD5, testKey, "mt", "2", "1776221463135", testBody, testSecret)
	resign := func(h http.Header, body string) {
		h.Set("sign", referenceSign(SHA256, h.Get("accesskey"), h.Get("action"), h.Get("biztype"), h.Get("ts"), body, testSecret))
	}
	tests := map[string]struct {
		source Source
		change func(*http.Request)
		reason string
		cause  string
	}{
		"nothing signed":    {both, func(r *http.Request) { clear(r.Header) }, "SIGNATURE_MISSING", "accesskey"},
		"no accesskey":      {both, func(r *http.Request) { r.Header.Del("accesskey") }, "SIGNATURE_MISSING", "accesskey"},
		"no action":         {both, func(r *http.Request) { r.Header.Del("action") }, "SIGNATURE_MISSING", "action"},
		"no biztype":        {both, func(r *http.Request) { r.Header.Del("biztype") }, "SIGNATURE_MISSING", "biztype"},
		"no ts":             {both, func(r *http.Request) { r.Header.Del("ts") }, "SIGNATURE_MISSING", "ts"},
		"no sign":           {both, func(r *http.Request) { r.Header.Del("sign") }, "SIGNATURE_MISSING", "sign"},
		"empty action":      {both, func(r *http.Request) { r.Header.Set("action", ""); resign(r.Header, testBody) }, "SIGNATURE_MISSING", "action"},
		"empty algorithm":   {both, func(r *http.Request) { r.Header.Set("algorithm", ""); r.Header.Set("sign", md5Sign) }, "SIGNATURE_MISSING", "algorithm"},
		"repeated sign":     {both, func(r *http.Request) { r.Header.Add("sign", r.Header.Get("sign")) }, "SIGNATURE_MALFORMED", "sign"},
		"repeated alg":      {both, func(r *http.Request) { r.Header.Add("algorithm", "sha256") }, "SIGNATURE_MALFORMED", "algorithm"},
		"ts not digits":     {both, func(r *http.Request) { r.Header.Set("ts", "-1"); resign(r.Header, testBody) }, "SIGNATURE_MALFORMED", "ts"},
		"action with space": {both, func(r *http.Request) { r.Header.Set("action", "m t"); resign(r.Header, testBody) }, "SIGNATURE_MALFORMED", "action"},
		"biztype injects":   {both, func(r *http.Request) { r.Header.Set("biztype", "2&ts=1"); resign(r.Header, testBody) }, "SIGNATURE_MALFORMED", "biztype"},
		"accesskey injects": {both, func(r *http.Request) { r.Header.Set("accesskey", testKey+"&x=1") }, "SIGNATURE_MALFORMED", "accesskey"},
		"sign not hex":      {both, func(r *http.Request) { r.Header.Set("sign", strings.Repeat("g", 64)) }, "SIGNATURE_MALFORMED", "sign"},
		"sign of odd size":  {both, func(r *http.Request) { r.Header.Set("sign", r.Header.Get("sign")[1:]) }, "SIGNATURE_INVALID", "wrong sign"},
		"one digit more":    {both, func(r *http.Request) { r.Header.Set("sign", r.Header.Get("sign")+"0") }, "SIGNATURE_INVALID", "wrong sign"},
		"part of the sign":  {both, func(r *http.Request) { r.Header.Set("sign", r.Header.Get("sign")[:2]) }, "SIGNATURE_INVALID", "wrong sign"},
		"other secret": {
			Source{AccessKeys: []AccessKey{{Key: testKey, Secret: "other"}}},
			func(*http.Request) {}, "SIGNATURE_INVALID", "wrong sign",
		},
		"unknown key": {
			Source{AccessKeys: []AccessKey{{Key: "other", Secret: testSecret}}},
			func(*http.Request) {}, "SIGNATURE_INVALID", "unknown access key",
		},
		"unknown key signed with the decoy": {both, func(r *http.Request) {
			r.Header.Set("accesskey", "other")
			r.Header.Set("sign", referenceSign(SHA256, "other", "mt", "2", "1776221463135", testBody, decoySecret))
		}, "SIGNATURE_INVALID", "unknown access key"},
		"downgrade to MD5": {signedSource(), func(r *http.Request) {
			r.Header.Set("algorithm", "md5")
			r.Header.Set("sign", md5Sign)
		}, "SIGNATURE_INVALID", "algorithm md5 is not allowed"},
		"downgrade by leaving it out": {signedSource(SHA256), func(r *http.Request) {
			r.Header.Del("algorithm")
			r.Header.Set("sign", md5Sign)
		}, "SIGNATURE_INVALID", "algorithm md5 is not allowed"},
		"SHA-256 where only MD5 is allowed": {signedSource(MD5), func(*http.Request) {}, "SIGNATURE_INVALID", "algorithm sha256 is not allowed"},
		"half signed where unsigned is allowed": {
			Source{AccessKeys: both.AccessKeys, AllowUnsigned: true},
			func(r *http.Request) { r.Header.Del("sign") }, "SIGNATURE_MISSING", "sign",
		},
		"one empty header where unsigned is allowed": {
			Source{AccessKeys: both.AccessKeys, AllowUnsigned: true},
			func(r *http.Request) { clear(r.Header); r.Header.Set("ts", "") }, "SIGNATURE_MISSING", "accesskey",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, tt.source)
			r := newSignedPost(testBody)
			tt.change(r)
			requireRefused(t, f.do(r), http.StatusUnauthorized, tt.reason)
			require.Contains(t, f.lines.String(), tt.cause)
			require.Empty(t, f.log.stored())
			require.EqualValues(t, 1, f.Sources()[0].RejectedSignatures)
			require.Equal(t, 1, f.callbacks(t, outcomeRejectedSignature))
		})
	}
}

// A stranger must not learn from the answer which access keys exist.
func TestRefusalsDoNotTellKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t, signedSource(SHA256))
	wrong := newSignedPost(testBody)
	wrong.Header.Set("sign", strings.Repeat("0", 64))
	unknown := newSignedPost(testBody)
	unknown.Header.Set("accesskey", "nobody")
	downgrade := newSignedPost(testBody)
	downgrade.Header.Set("algorithm", "md5")

	want := f.do(wrong)
	for _, r := range []*http.Request{unknown, downgrade} {
		got := f.do(r)
		require.Equal(t, want.Code, got.Code)
		require.Equal(t, want.Body.String(), got.Body.String())
	}
}

// The provider signs bytes, not JSON: whatever re-encodes the body on the way
// breaks the signature.
func TestSignatureIsOverRawBytes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, signedSource())
	for _, body := range []string{strings.ReplaceAll(testBody, ":", ": "), testBody + "\n", " " + testBody, ""} {
		r := newPost(body)
		r.Header = newSignedPost(testBody).Header
		requireRefused(t, f.do(r), http.StatusUnauthorized, "SIGNATURE_INVALID")
	}
}

// The same access key may be configured at two sources with different secrets.
func TestKeysBelongToTheirSource(t *testing.T) {
	t.Parallel()
	h, err := New(Config{Log: &fakeLog{}, Sources: []Source{
		{Name: "nxcloud", AccessKeys: []AccessKey{{Key: "other", Secret: testSecret}}},
		{Name: "second", AccessKeys: []AccessKey{{Key: testKey, Secret: testSecret}}},
	}})
	require.NoError(t, err)
	f := &fixture{Handler: h}

	requireRefused(t, f.do(newSignedPost(testBody)), http.StatusUnauthorized, "SIGNATURE_INVALID")
	r := newSignedPost(testBody)
	r.URL.Path = "/webhooks/second"
	requireSuccess(t, f.do(r))
}

func TestTimestampTolerance(t *testing.T) {
	t.Parallel()
	const tolerance = time.Minute
	now := testTime()
	tests := map[string]struct {
		ts string
		ok bool
	}{
		"milliseconds now":     {millis(now), true},
		"at the past edge":     {millis(now.Add(-tolerance)), true},
		"beyond the past edge": {millis(now.Add(-tolerance - time.Millisecond)), false},
		"at the future edge":   {millis(now.Add(tolerance)), true},
		"beyond the future":    {millis(now.Add(tolerance + time.Millisecond)), false},
		"seconds now":          {seconds(now), true},
		"seconds long ago":     {seconds(now.Add(-time.Hour)), false},
		"neither":              {"12345", false},
		"more than 64 bits":    {strings.Repeat("9", 40), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			post := func(tolerance time.Duration) *httptest.ResponseRecorder {
				s := signedSource()
				s.TimestampTolerance = tolerance
				r := newSignedPost(testBody)
				r.Header.Set("ts", tt.ts)
				r.Header.Set("sign", referenceSign(SHA256, testKey, "mt", "2", tt.ts, testBody, testSecret))
				return newFixture(t, s).do(r)
			}
			requireSuccess(t, post(0))
			if tt.ok {
				requireSuccess(t, post(tolerance))
			} else {
				requireRefused(t, post(tolerance), http.StatusUnauthorized, "TIMESTAMP_OUTSIDE_TOLERANCE")
			}
		})
	}
}

// FuzzVerify checks that nothing panics and that exactly the true digest of
// well-formed values passes.
func FuzzVerify(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(v.AccessKey, v.Secret, v.Action, v.BizType, v.TS, "sha256", v.SHA256, []byte(v.Body))
		f.Add(v.AccessKey, v.Secret, v.Action, v.BizType, v.TS, "md5", v.MD5, []byte(v.Body))
		f.Add(v.AccessKey, v.Secret, v.Action, v.BizType, v.TS+"&body=x", "md5", v.MD5, []byte(v.Body))
	}
	f.Add("", "", "", "", "", "", "", []byte(nil))
	token := regexp.MustCompile(`\A[A-Za-z0-9_-]+\z`)
	digits := regexp.MustCompile(`\A[0-9]+\z`)
	f.Fuzz(func(t *testing.T, key, secret, action, bizType, ts, algorithm, sign string, body []byte) {
		s := newSource(Source{Name: "nxcloud", AccessKeys: []AccessKey{{Key: testKey, Secret: secret, Algorithms: []Algorithm{SHA256, MD5}}}})
		verify := func(sign string) bool {
			header := make(http.Header)
			for name, value := range map[string]string{
				"accesskey": key, "action": action, "biztype": bizType, "ts": ts, "algorithm": algorithm, "sign": sign,
			} {
				header.Set(name, value)
			}
			sig, refused := s.signatureOf(header)
			return refused == nil && s.verify(sig, body, testTime()) == nil
		}
		chosen := MD5
		if strings.EqualFold(algorithm, "sha256") {
			chosen = SHA256
		}
		want := referenceSign(chosen, key, action, bizType, ts, string(body), secret)
		wellFormed := key == testKey && token.MatchString(action) && token.MatchString(bizType) && digits.MatchString(ts) && algorithm != ""
		require.Equal(t, wellFormed, verify(want))
		require.False(t, verify(want+"0"))
		require.Equal(t, wellFormed && strings.EqualFold(want, sign), verify(sign))
	})
}
