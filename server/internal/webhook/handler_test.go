package webhook

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/translate"
)

func TestMethodAndSource(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		method, path string
		status       int
		reason       string
	}{
		"GET":              {http.MethodGet, "/webhooks/nxcloud", http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED"},
		"PUT":              {http.MethodPut, "/webhooks/nxcloud", http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED"},
		"GET unknown":      {http.MethodGet, "/webhooks/nobody", http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED"},
		"unknown source":   {http.MethodPost, "/webhooks/nobody", http.StatusNotFound, "SOURCE_NOT_FOUND"},
		"no source":        {http.MethodPost, "/webhooks/", http.StatusNotFound, "SOURCE_NOT_FOUND"},
		"below a source":   {http.MethodPost, "/webhooks/nxcloud/x", http.StatusNotFound, "SOURCE_NOT_FOUND"},
		"outside webhooks": {http.MethodPost, "/nxcloud", http.StatusNotFound, "SOURCE_NOT_FOUND"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, unsignedSource())
			w := f.do(httptest.NewRequest(tt.method, tt.path, strings.NewReader(testBody)))
			requireRefused(t, w, tt.status, tt.reason)
			if tt.status == http.StatusMethodNotAllowed {
				require.Equal(t, "POST", w.Header().Get("Allow"))
				require.Equal(t, 1, f.value(t, "wabastream_callbacks_total", "wrong_method", ""))
			} else {
				require.Equal(t, 1, f.value(t, "wabastream_callbacks_total", "unknown_source", ""))
			}
			require.Empty(t, f.log.stored())
			require.NotContains(t, w.Body.String(), "nobody")
		})
	}
}

// Each request has the fault named and every fault that is checked later.
func TestOrderOfChecks(t *testing.T) {
	t.Parallel()
	s := signedSource()
	s.MaxBodyBytes = 10
	tests := []struct {
		method, source, contentType, body string
		status                            int
	}{
		{http.MethodGet, "nobody", "multipart/form-data", "not JSON, too large", http.StatusMethodNotAllowed},
		{http.MethodPost, "nobody", "multipart/form-data", "not JSON, too large", http.StatusNotFound},
		{http.MethodPost, "nxcloud", "multipart/form-data", "not JSON, too large", http.StatusUnsupportedMediaType},
		{http.MethodPost, "nxcloud", "application/json", "not JSON, too large", http.StatusRequestEntityTooLarge},
		{http.MethodPost, "nxcloud", "application/json", "not JSON", http.StatusUnauthorized},
	}
	for _, tt := range tests {
		r := httptest.NewRequest(tt.method, "/webhooks/"+tt.source, strings.NewReader(tt.body))
		r.Header.Set("Content-Type", tt.contentType)
		require.Equal(t, tt.status, newFixture(t, s).do(r).Code)
	}
	signed := newSignedPost("not JSON")
	require.Equal(t, http.StatusBadRequest, newFixture(t, s).do(signed).Code)
}

func TestContentHeaders(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		contentType, encoding string
		reason                string // empty: accepted
	}{
		"JSON":                {"application/json", "", ""},
		"JSON with charset":   {"application/json; charset=utf-8", "", ""},
		"none":                {"", "", ""},
		"plain text":          {"text/plain", "", ""},
		"unreadable":          {"????", "", ""},
		"identity":            {"application/json", "Identity", ""},
		"form":                {"application/x-www-form-urlencoded", "", "CONTENT_TYPE_UNSUPPORTED"},
		"form in capitals":    {"Application/X-WWW-Form-URLEncoded; charset=utf-8", "", "CONTENT_TYPE_UNSUPPORTED"},
		"form, odd parameter": {"application/x-www-form-urlencoded; charset", "", "CONTENT_TYPE_UNSUPPORTED"},
		"multipart":           {"multipart/form-data; boundary=x", "", "CONTENT_TYPE_UNSUPPORTED"},
		"a charset, mistaken": {"application/json", "UTF-8", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, unsignedSource())
			r := newPost(testBody)
			r.Header.Set("Content-Type", tt.contentType)
			r.Header.Set("Content-Encoding", tt.encoding)
			if w := f.do(r); tt.reason == "" {
				requireSuccess(t, w)
			} else {
				requireRefused(t, w, http.StatusUnsupportedMediaType, tt.reason)
				require.Equal(t, 1, f.callbacks(t, outcomeUnsupportedType))
			}
		})
	}
}

func TestNotJSON(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", " ", "{", testBody + testBody, "\xff", "\"\xff\"", "field=account_update", "NaN"} {
		f := newFixture(t, unsignedSource())
		requireRefused(t, f.post(body), http.StatusBadRequest, "BODY_NOT_JSON")
		require.Empty(t, f.log.stored())
		require.Equal(t, 1, f.callbacks(t, outcomeNotJSON))
	}
}

// Whatever is JSON is stored, and what is stored can be delivered.
func TestEveryJSONIsStored(t *testing.T) {
	t.Parallel()
	filler := strings.Repeat("x", maxBodyBytes-200)
	for name, body := range map[string]string{
		"null":            "null",
		"number":          "1e400",
		"empty array":     "[]",
		"empty object":    "{}",
		"deep":            strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		"lone surrogates": `{"field":"account_update","value":{"event":"\ud800","wabaId":"\udfff","business_phone":"\ud800"}}`,
		"far expiration":  `{"field":"account_update","value":{"event":"ACCOUNT_RESTRICTION","restriction_info":[{"expiration":99999999999999}]}}`,
		"large field":     `{"field":"` + filler + `","value":{}}`,
		"large event":     `{"field":"account_update","value":{"event":"` + filler + `"}}`,
		"large phone":     `{"field":"account_update","value":{"event":"PHONE_NUMBER_ADDED","phone_number":"` + filler + `"}}`,
		"large time":      `{"field":"account_update","value":{"event":"PHONE_NUMBER_ADDED","time":"` + filler + `"}}`,
		"large WABA":      `{"field":"account_update","value":{"event":"ACCOUNT_DELETED","wabaId":"` + filler + `"}}`,
		"large escapes":   `{"field":"account_update","value":{"event":"` + strings.Repeat(`\n`, len(filler)/2) + `"}}`,
		"many entries":    `{"field":"user_preferences","value":{"user_preferences":[` + strings.Repeat(`{"value":"stop","x":"`+strings.Repeat("y", 400)+`"},`, 4095) + `{}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Source{AllowUnsigned: true, MaxBodyBytes: maxBodyBytes})
			requireSuccess(t, f.post(body))
			require.NotEmpty(t, f.log.stored())
			size := 0
			for _, r := range f.log.stored() {
				requireDeliverable(t, r)
				for _, text := range []string{r.Type, r.WABAID, r.BusinessPhone, r.Source} {
					require.True(t, text == "" || isHeaderText(text))
				}
				size += len(r.Payload) + len(r.Raw)
			}
			require.LessOrEqual(t, size, eventlog.MaxAppendBytes)
		})
	}
}

// A user_preferences callback names no account: configured numbers do, however
// they and the callback's are spelled.
func TestNumbersAttributeUserPreferences(t *testing.T) {
	t.Parallel()
	for _, spelling := range []string{"15550100", "+1 555-0100", "+1 (555) 0100", "[1]5550100", "1\u00a0555\u20030100"} {
		f := newFixture(t, Source{AllowUnsigned: true, Numbers: map[string]string{spelling: "1001"}})
		for i, sent := range []string{"15550100", spelling} {
			requireSuccess(t, f.post(fmt.Sprintf(`{"field":"user_preferences","value":{"metadata":{"display_phone_number":%q},
				"user_preferences":[{"wa_id":"1","value":"stop","category":"marketing_messages","timestamp":%d},
				{"wa_id":"2","value":"resume","category":"marketing_messages","timestamp":1}]}}`, sent, i)))
		}
		require.NotEmpty(t, f.log.stored())
		for _, r := range f.log.stored() {
			require.Equal(t, "1001", r.WABAID)
			require.Equal(t, "15550100", r.BusinessPhone)
			require.Equal(t, eventlog.WABAConfigured, r.WABASource)
		}
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	const preferences = `{"field":"user_preferences","value":{"user_preferences":[
		{"wa_id":"1","value":"stop","category":"marketing_messages"},
		{"wa_id":"2","value":"resume","category":"marketing_messages"}]}}`
	f := newFixture(t, Source{AllowUnsigned: true, Discard: []string{"messages", "user_preferences.marketing_messages.resume"}})

	requireSuccess(t, f.post(testBody))
	requireSuccess(t, f.post(testBody))
	requireSuccess(t, f.post(`{"messages":[{"text":"hello"}]}`))
	requireSuccess(t, f.post(preferences))
	requireSuccess(t, f.post(preferences))

	require.Len(t, f.log.stored(), 2)
	require.Equal(t, "account_update.account_deleted", f.log.stored()[0].Type)
	require.Equal(t, "user_preferences.marketing_messages.stop", f.log.stored()[1].Type)
	require.Equal(t, 2, f.callbacks(t, outcomeStored))
	require.Equal(t, 2, f.callbacks(t, outcomeDuplicate))
	require.Equal(t, 1, f.callbacks(t, outcomeDiscarded))
	require.Equal(t, 2, f.value(t, "wabastream_events_appended_total", "nxcloud"))
	require.Equal(t, 3, f.value(t, "wabastream_events_discarded_total", "nxcloud"))
}

func TestDiscardTakesWholePathsOnly(t *testing.T) {
	t.Parallel()
	s := newSource(Source{Discard: []string{"a.b"}})
	for path, discarded := range map[string]bool{"a.b": true, "a.b.c": true, "a": false, "a.bc": false, "x.a.b": false} {
		require.Equal(t, discarded, len(s.keep([]translate.Event{{Type: path}})) == 0, path)
	}
}

// What callbacks take together is bounded: one that finds no room in time is
// refused and can be sent again, and room comes back.
func TestCallbacksInProgressAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, unsignedSource())
		require.True(t, f.inProgress.TryAcquire(maxBytesInProgress))
		w := f.post(testBody)
		requireRefused(t, w, http.StatusServiceUnavailable, "OVERLOADED")
		require.NotEmpty(t, w.Header().Get("Retry-After"))
		require.Empty(t, f.log.stored())
		f.inProgress.Release(maxBytesInProgress)
		requireSuccess(t, f.post(testBody))
		require.True(t, f.inProgress.TryAcquire(maxBytesInProgress), "nothing is kept")
	})
}

func TestPanicEndsOneCallbackOnly(t *testing.T) {
	t.Parallel()
	var none []int
	index := len(testBody)
	for name, panics := range map[string]func(){
		"with content":    func() { panic("content of " + testBody) },
		"of the language": func() { none[index]++ },
		"to abort":        func() { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, unsignedSource())
			f.log.before = func(context.Context) error {
				panics()
				return nil
			}
			requireRefused(t, f.post(testBody), http.StatusInternalServerError, "INTERNAL")
			require.Equal(t, 1, f.callbacks(t, outcomeError))
			require.Contains(t, f.lines.String(), "handler_test.go", "the stack tells where")
			require.NotContains(t, f.lines.String(), "ACCOUNT_DELETED", "the content is not logged")

			f.log.before = nil
			requireSuccess(t, f.post(testBody))
		})
	}
}

func TestSourcesStatus(t *testing.T) {
	t.Parallel()
	h, err := New(Config{Log: &fakeLog{}, Now: testTime, Sources: []Source{
		{Name: "zeta", AllowUnsigned: true, Discard: []string{"messages"}},
		{Name: "alpha", AccessKeys: signedSource().AccessKeys},
	}})
	require.NoError(t, err)
	require.Equal(t, []SourceStatus{{Name: "alpha"}, {Name: "zeta"}}, h.Sources())

	f := &fixture{Handler: h}
	for source, body := range map[string]string{"alpha": testBody, "zeta": `{"messages":[]}`} {
		r := newPost(body)
		r.URL.Path = "/webhooks/" + source
		f.do(r)
	}
	got := h.Sources()
	require.Equal(t, SourceStatus{Name: "alpha", RejectedSignatures: 1}, got[0])
	require.Equal(t, "zeta", got[1].Name)
	require.Zero(t, got[1].RejectedSignatures)
	require.True(t, got[1].LastCallback.Equal(testTime()), got[1].LastCallback)
}

// A flood of bad callbacks must not become a flood of log lines.
func TestRefusalsAreLoggedOnceASecond(t *testing.T) {
	t.Parallel()
	f := newFixture(t, signedSource())
	now := testTime()
	f.now = func() time.Time { return now }
	refused := newSignedPost(testBody)
	refused.Header.Set("sign", "00")
	for range 100 {
		f.do(refused)
	}
	require.Equal(t, 1, strings.Count(f.lines.String(), `"level":"WARN"`))
	now = now.Add(time.Second)
	f.do(refused)
	require.Equal(t, 2, strings.Count(f.lines.String(), `"level":"WARN"`))
	require.Contains(t, f.lines.String(), `"unlogged_before":99`)
	require.EqualValues(t, 101, f.Sources()[0].RejectedSignatures)

	// A clock set back must not silence the log until it has caught up.
	now = now.Add(-time.Hour)
	f.do(refused)
	require.Equal(t, 3, strings.Count(f.lines.String(), `"level":"WARN"`))

	// Failures have a line of their own: rubbish does not hide them.
	f.log.before = func(context.Context) error { return eventlog.ErrFull }
	f.do(newSignedPost(testBody))
	require.Contains(t, f.lines.String(), `"level":"ERROR"`)
}

// Nothing that a callback brings, and no secret, gets into logs or answers.
func TestNothingConfidentialLeaks(t *testing.T) {
	t.Parallel()
	const person = "491700000000"
	body := `{"field":"user_preferences","value":{"contacts":[{"wa_id":"` + person + `"}],"user_preferences":[{"wa_id":"` + person + `","value":"stop"}]}}`
	good := newSignedPost(body)
	bad := newSignedPost(body + " ")
	bad.Header.Set("sign", good.Header.Get("sign"))
	malformed := newSignedPost(body)
	malformed.Header.Set("accesskey", testKey+"!")
	notJSON := newSignedPost(body + "!")
	failing := newSignedPost(body)

	f := newFixture(t, signedSource())
	now := testTime()
	f.now = func() time.Time { return now }
	var answers strings.Builder
	for _, r := range []*http.Request{good, bad, malformed, notJSON, failing} {
		if r == failing {
			f.log.before = func(context.Context) error { return eventlog.ErrFailed }
		}
		now = now.Add(time.Minute)
		answers.WriteString(f.do(r).Body.String())
	}
	require.Equal(t, 5, strings.Count(f.lines.String(), `"msg":"callback `), "every callback is logged")
	for _, text := range []string{f.lines.String(), answers.String()} {
		for _, secret := range []string{
			person, testKey, testSecret, good.Header.Get("sign"), failing.Header.Get("sign"),
			referenceSign(SHA256, testKey, "mt", "2", "1776221463135", body+" ", testSecret),
		} {
			require.NotContains(t, text, secret)
		}
	}
}

func TestConcurrentDuplicates(t *testing.T) {
	t.Parallel()
	const posts = 100
	f := newFixture(t, signedSource())
	var group sync.WaitGroup
	for range posts {
		group.Go(func() {
			if w := f.do(newSignedPost(testBody)); w.Code != http.StatusOK {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
			f.Sources()
		})
	}
	group.Wait()
	require.Len(t, f.log.stored(), 1)
	require.Equal(t, 1, f.callbacks(t, outcomeStored))
	require.Equal(t, posts-1, f.callbacks(t, outcomeDuplicate))
}
