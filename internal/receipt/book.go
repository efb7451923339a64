package receipt

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/palate-dev/palate/internal/blob"
)

// Book is the directory of a server's receipts. The server alone adds to it; others may read it meanwhile.
//
//	signing-key.pem   the private key, made when the first receipt is written (PKCS #8)
//	00000001.json     receipt 1, and so on without a gap
//	00000001.salt     the salt of its digest, until somebody takes it or 30 days are over
type Book struct {
	dir string
	mu  sync.Mutex // one Append at a time
}

const (
	keyFile  = "signing-key.pem"
	saltLife = 30 * 24 * time.Hour
)

// OpenBook opens the receipts in dir, which need not exist yet.
func OpenBook(dir string) *Book { return &Book{dir: dir} }

// ErrNone says that there is no such receipt.
var ErrNone = errors.New("no such receipt")

// Append numbers, chains, signs and stores a receipt, durably. A deletion has one receipt of a status: if it has that one already, nothing is written, so that a
// job that crashed after it can be repeated. Damage to older receipts does not keep a deletion from its end: the chain goes on from the bytes that are there, and
// whoever verifies it sees where it is broken.
func (b *Book) Append(r Receipt, salt string, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	numbers, err := b.numbers()
	if err != nil {
		return err
	}
	r.Format, r.Number, r.Previous = Format, 1, NoPrevious
	for _, n := range numbers {
		file, err := os.ReadFile(b.path(n, "json"))
		if err != nil {
			return fmt.Errorf("read receipt %d: %w", n, err)
		}
		old, err := Verify(file, nil)
		if err == nil && old.Erasure == r.Erasure && old.Status == r.Status {
			return nil
		}
		r.Number, r.Previous = n+1, hashOf(file)
	}
	if err := blob.MkdirAll(b.dir); err != nil {
		return fmt.Errorf("write receipt: %w", err)
	}
	if err := blob.Sweep(b.dir); err != nil {
		return fmt.Errorf("write receipt: %w", err)
	}
	key, err := b.key()
	if err != nil {
		return err
	}
	file, err := sign(&r, key)
	if err != nil {
		return err
	}
	if err := b.expireSalts(now); err != nil {
		return err
	}
	if salt != "" {
		if err := blob.WriteFile(b.path(r.Number, "salt"), strings.NewReader(salt)); err != nil {
			return fmt.Errorf("write receipt: %w", err)
		}
	}
	if err := blob.WriteFile(b.path(r.Number, "json"), bytes.NewReader(file)); err != nil { // last: it makes the rest count
		return fmt.Errorf("write receipt: %w", err)
	}
	return nil
}

func (b *Book) path(number int64, kind string) string {
	return filepath.Join(b.dir, fmt.Sprintf("%08d.%s", number, kind))
}

// numbers lists the receipts that are there, in order.
func (b *Book) numbers() (all []int64, err error) {
	entries, err := os.ReadDir(b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read receipts: %w", err)
	}
	for _, d := range entries {
		if digits, ok := strings.CutSuffix(d.Name(), ".json"); ok {
			n, err := strconv.ParseInt(digits, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("read receipts: %s is none", d.Name())
			}
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all, nil
}

func (b *Book) read(number int64) (*Receipt, []byte, error) {
	file, err := os.ReadFile(b.path(number, "json"))
	if err != nil {
		return nil, nil, fmt.Errorf("read receipt %d: %w", number, err)
	}
	r, err := Verify(file, nil)
	if err == nil && r.Number != number {
		err = ErrChain
	}
	if err != nil {
		return nil, nil, fmt.Errorf("receipt %d: %w", number, err)
	}
	return r, file, nil
}

// Numbered returns a receipt by its number, and its file.
func (b *Book) Numbered(number int64) (*Receipt, []byte, error) {
	r, file, err := b.read(number)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("receipt %d: %w", number, ErrNone)
	}
	return r, file, err
}

// Of returns the newest receipt of a job and its file. Damage to others does not matter if it is found.
func (b *Book) Of(job string) (*Receipt, []byte, error) {
	numbers, err := b.numbers()
	if err != nil {
		return nil, nil, err
	}
	damage := ErrNone
	for _, n := range slices.Backward(numbers) {
		r, file, err := b.read(n)
		if err != nil {
			damage = err
			continue
		}
		if r.Job == job {
			return r, file, nil
		}
	}
	return nil, nil, damage
}

// All returns every receipt, in order, and checks signatures and chain: against the public key if one is given, else against the server's own.
func (b *Book) All(public ed25519.PublicKey) ([]*Receipt, error) {
	numbers, err := b.numbers()
	if err != nil || len(numbers) == 0 {
		return nil, err
	}
	if public == nil {
		if public, err = b.PublicKey(); err != nil {
			return nil, err
		}
	}
	if numbers[0] != 1 {
		return nil, fmt.Errorf("%w: the first receipt is number %d", ErrChain, numbers[0])
	}
	var all []*Receipt
	for _, n := range numbers {
		r, file, err := b.read(n)
		if err != nil {
			return nil, err
		}
		if _, err := Verify(file, public); err != nil {
			return nil, fmt.Errorf("receipt %d: %w", n, err)
		}
		all = append(all, r)
	}
	return all, Chain(all)
}

// key reads the signing key, or makes it.
func (b *Book) key() (ed25519.PrivateKey, error) {
	path := filepath.Join(b.dir, keyFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil, fmt.Errorf("make signing key: %w", err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("make signing key: %w", err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		if err := blob.WriteFile(path, bytes.NewReader(text)); err != nil { // mode 0600
			return nil, fmt.Errorf("make signing key: %w", err)
		}
		return key, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read signing key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("read signing key: not a PEM file")
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read signing key: %w", err)
	}
	key, ok := any.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("read signing key: not an Ed25519 key")
	}
	return key, nil
}

// PublicKey is the key that checks the server's receipts; ErrNone before the first receipt.
func (b *Book) PublicKey() (ed25519.PublicKey, error) {
	if _, err := os.Stat(filepath.Join(b.dir, keyFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	key, err := b.key()
	if err != nil {
		return nil, err
	}
	return key.Public().(ed25519.PublicKey), nil
}

// Fingerprint is a short name of a public key: SHA-256 of its PKIX form, in hexadecimal digits.
func Fingerprint(public ed25519.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// EncodePublicKey is the PEM form of a public key, which openssl reads.
func EncodePublicKey(public ed25519.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// ParsePublicKey reads the PEM form.
func ParsePublicKey(text []byte) (ed25519.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("public key: not a PEM file")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("public key: not an Ed25519 key")
	}
	return public, nil
}

// TakeSalt returns the salt of a receipt's digest and destroys it: whoever has it, and the list, can show that the receipt is about that list, and nobody else can
// guess at it any more. ErrNone if it was taken or has expired.
func (b *Book) TakeSalt(number int64) (string, error) {
	path := b.path(number, "salt")
	salt, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNone
	}
	if err != nil {
		return "", fmt.Errorf("take salt: %w", err)
	}
	return string(salt), blob.Destroy(path)
}

// expireSalts destroys the salts that nobody took.
func (b *Book) expireSalts(now time.Time) error {
	old, err := filepath.Glob(filepath.Join(b.dir, "*.salt"))
	if err != nil {
		return fmt.Errorf("expire salts: %w", err)
	}
	for _, path := range old {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("expire salts: %w", err)
		}
		if now.Sub(info.ModTime()) > saltLife {
			if err := blob.Destroy(path); err != nil {
				return fmt.Errorf("expire salts: %w", err)
			}
		}
	}
	return nil
}
