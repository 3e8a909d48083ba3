package access_test

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/access"
)

// granted is a file with one consumer more than the tests ask for.
func granted(consumers ...string) string {
	return "consumers:\n  - name: other\n" + strings.Join(consumers, "")
}

func consumer(name, hash, more string) string {
	return fmt.Sprintf("  - {name: %s, tokens: [%q], %s}\n", name, hash, more)
}

func TestNewFileUnderOpenSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, hashOne := access.NewToken()
		two, hashTwo := access.NewToken()
		three, hashThree := access.NewToken()
		s := newSite(t, granted(
			consumer("one", hashOne, `waba_ids: ["1", "2"]`),
			consumer("two", hashTwo, `waba_ids: ["1"]`),
			consumer("three", hashThree, `waba_ids: ["1"]`)))
		p := s.follow(t)
		same, widened, revoked := watch(admit(t, p, one)), watch(admit(t, p, two)), watch(admit(t, p, three))
		silent := admit(t, p, three)
		pass(time.Minute)
		require.Equal(t, 3, p.Tracked())

		s.write(t, granted(
			consumer("two", hashTwo, `waba_ids: ["*"], operate: true`),
			consumer("one", hashOne, `waba_ids: ["2", "1"]`)))
		pass(settled)
		require.Zero(t, same.changed(), "order means nothing")
		require.NoError(t, same.Err())
		require.Equal(t, 1, widened.changed())
		require.NoError(t, widened.Err())
		require.Equal(t, access.Caller{Name: "two", Grant: access.Grant{AllWABAs: true, Operate: true}}, widened.Caller())
		require.Equal(t, 1, revoked.changed())
		require.ErrorIs(t, revoked.Err(), access.ErrInvalid)
		require.NoError(t, silent.Err(), "nobody listens")
		_, err := p.Authenticate(t.Context(), access.Credentials{Bearer: three})
		require.ErrorIs(t, err, access.ErrInvalid)

		pass(time.Minute)
		require.Equal(t, 1, widened.changed(), "told once")
		require.Equal(t, 1, revoked.changed(), "told once")
		require.Len(t, s.lines.with("access file loaded"), 2)
	})
}

// TestTokenRotation gives a consumer its next token before the old one is taken away.
func TestTokenRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old, oldHash := access.NewToken()
		next, nextHash := access.NewToken()
		s := newSite(t, "consumers: [{name: a, tokens: ["+quoted(oldHash)+"]}]")
		p := s.follow(t)
		first := watch(admit(t, p, old))
		s.write(t, "consumers: [{name: a, tokens: ["+quoted(oldHash, nextHash)+"]}]")
		pass(settled)
		second := watch(admit(t, p, next))
		require.NoError(t, first.Err())
		s.write(t, "consumers: [{name: a, tokens: ["+quoted(nextHash)+"]}]")
		pass(settled)
		require.ErrorIs(t, first.Err(), access.ErrInvalid)
		require.NoError(t, second.Err())
		require.Zero(t, second.changed())
	})
}

func quoted(texts ...string) string { return `"` + strings.Join(texts, `", "`) + `"` }

func TestExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token, hash := access.NewToken()
		lasting, lastingHash := access.NewToken()
		file := func(end time.Time) string {
			return fmt.Sprintf("consumers:\n  - name: a\n    tokens: [{hash: %q, expire_time: %s}, %q]\n    certificates: [a.internal]\n",
				hash, end.UTC().Format(time.RFC3339), lastingHash)
		}
		s := newSite(t, file(time.Now().Add(time.Hour)))
		p := s.follow(t)
		byToken, forever := watch(admit(t, p, token)), watch(admit(t, p, lasting))
		session, err := p.Authenticate(t.Context(), access.Credentials{Certificate: certificate(t, time.Now().Add(time.Minute), "a.internal")})
		require.NoError(t, err)
		byCertificate := watch(session)
		require.Equal(t, 2, p.Pending())

		pass(time.Minute - time.Millisecond)
		require.NoError(t, byCertificate.Err())
		pass(time.Millisecond)
		require.ErrorIs(t, byCertificate.Err(), access.ErrExpired)
		require.Equal(t, 1, byCertificate.changed())
		require.Equal(t, 1, p.Pending())

		pass(58 * time.Minute)
		s.write(t, file(time.Now().Add(2*time.Hour)))
		pass(settled)
		require.Equal(t, 1, byToken.changed(), "its end is another one")
		pass(time.Hour)
		require.NoError(t, byToken.Err())
		s.write(t, file(time.Now()))
		pass(settled)
		require.ErrorIs(t, byToken.Err(), access.ErrExpired)
		_, err = p.Authenticate(t.Context(), access.Credentials{Bearer: token})
		require.ErrorIs(t, err, access.ErrExpired)
		require.Zero(t, forever.changed())
		require.Zero(t, p.Pending())
	})
}

// TestClockThatJumps ends a credential within a second of the clock's time, whatever
// timers make of it.
func TestClockThatJumps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "consumers: [{name: a, certificates: [a.internal]}]")
		var ahead atomic.Int64 // nanoseconds
		s.config.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		p := s.follow(t)
		session, err := p.Authenticate(t.Context(), access.Credentials{Certificate: certificate(t, time.Now().Add(24*time.Hour), "a.internal")})
		require.NoError(t, err)
		w := watch(session)
		pass(time.Minute + time.Millisecond)
		require.NoError(t, w.Err())
		ahead.Store(int64(24 * time.Hour))
		pass(time.Second)
		require.ErrorIs(t, w.Err(), access.ErrExpired)
	})
}

// TestListenedToLate lets a caller in by rules that are gone when it is listened to.
func TestListenedToLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token, hash := access.NewToken()
		s := newSite(t, granted(consumer("a", hash, "operate: true")))
		p := s.follow(t)
		session := admit(t, p, token)
		s.write(t, granted())
		pass(settled)
		require.NoError(t, session.Err())
		w := watch(session)
		synctest.Wait()
		require.ErrorIs(t, w.Err(), access.ErrInvalid)
		require.Equal(t, 1, w.changed())
	})
}

// TestSessionsAreForgotten once nobody listens to them.
func TestSessionsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token, hash := access.NewToken()
		p := newSite(t, "consumers: [{name: a, certificates: [a.internal], tokens: ["+quoted(hash)+"]}]").follow(t)
		for range 1000 {
			admit(t, p, token)
		}
		require.Zero(t, p.Tracked(), "nobody listens to them")
		session, err := p.Authenticate(t.Context(), access.Credentials{Certificate: certificate(t, time.Now().Add(time.Hour), "a.internal")})
		require.NoError(t, err)
		first, second := watch(session), watch(session)
		require.Equal(t, 1, p.Tracked())
		first.stop()
		first.stop()
		require.Equal(t, 1, p.Tracked())
		pass(time.Hour)
		require.Zero(t, first.changed())
		require.Equal(t, 1, second.changed())
		second.stop()
		require.Zero(t, p.Tracked())
		require.Zero(t, p.Pending())
		watch(session)
		require.Zero(t, p.Tracked(), "it has ended")
	})
}

func TestFileThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token, hash := access.NewToken()
		good := granted(consumer("a", hash, "operate: true"))
		s := newSite(t, good)
		p := s.follow(t)
		w := watch(admit(t, p, token))
		for n, breakIt := range []func(){
			func() { s.write(t, good[:len(good)/2]) },
			func() { s.write(t, "") },
			func() { require.NoError(t, os.Remove(s.config.File)) },
			func() { s.write(t, "consumers: []") },
			func() { s.write(t, strings.Repeat("#", 5<<20)) },
			func() {
				require.NoError(t, os.Remove(s.config.File))
				require.NoError(t, os.Mkdir(s.config.File, 0o700))
			},
		} {
			breakIt()
			pass(time.Minute)
			require.Len(t, s.lines.with("refused"), n+1, "each logged once")
			require.NoError(t, w.Err(), "what was loaded stays in use")
			admit(t, p, token)
		}
		require.NoError(t, os.Remove(s.config.File))
		s.write(t, good)
		pass(settled)
		require.Len(t, s.lines.with("access file loaded"), 1, "the same again is nothing new")
		s.write(t, granted())
		pass(settled)
		require.ErrorIs(t, w.Err(), access.ErrInvalid)
		require.Equal(t, map[string]float64{"": 6}, s.counters(t, "wabastream_access_files_refused_total"))
	})
}

// TestFileThatIsStillWritten is not taken up before it rests.
func TestFileThatIsStillWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token, hash := access.NewToken()
		whole := granted(consumer("a", hash, "operate: true"), "  - name: last\n")
		s := newSite(t, whole)
		p := s.follow(t)
		w := watch(admit(t, p, token))
		for size := len("consumers:\n  - name: other"); size < len(whole); size += 10 {
			s.write(t, whole[:size])
			pass(interval)
		}
		s.write(t, whole+"# done\n")
		pass(settled)
		require.Zero(t, w.changed())
		require.Len(t, s.lines.with("access file loaded"), 2)
		require.Empty(t, s.lines.with("refused"))
	})
}

// TestKeyIsReadAtTheStart and nobody gets another pseudonym later.
func TestKeyIsReadAtTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hashed = "consumers: [{name: a, personal_data: hashed}]\n"
		const without = "consumers: [{name: a}]\n"
		s := newSite(t, "")
		key := s.config.File + ".key"
		writeFile(t, key, testKey)
		with := "personal_data_key_file: " + key + "\n" + hashed
		s.write(t, with)
		p := s.follow(t)
		before := p.Pseudonym("a")

		writeFile(t, key, strings.Repeat("b", 32))
		for _, accepted := range []string{with + "# another\n", without, with} {
			s.write(t, accepted)
			pass(settled)
			require.Equal(t, before, p.Pseudonym("a"))
		}
		require.Empty(t, s.lines.with("refused"))
		s.write(t, "personal_data_key_env: "+keyEnv+"\n"+hashed)
		pass(settled)
		require.Len(t, s.lines.with("restart the server to change it"), 1)
		require.Equal(t, before, p.Pseudonym("a"))
	})
}

func TestLooseFilesAreWarnedOf(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	key := s.config.File + ".key"
	writeFile(t, key, testKey)
	s.write(t, "personal_data_key_file: "+key+"\nconsumers: [{name: a}]")
	s.open(t)
	require.Empty(t, s.lines.with("level=WARN"))
	require.NoError(t, os.Chmod(s.config.File, 0o666))
	require.NoError(t, os.Chmod(key, 0o644))
	s.restarted().open(t)
	require.Len(t, s.lines.with("chmod 600"), 2)
}
