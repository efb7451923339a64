// Package receipt keeps the proof of every data deletion: signed, chained, without a user id.
//
// A receipt says which job removed how many rows from which datasets, which models were rebuilt and what their bytes hash to, and where the search that ended the
// job looked. It is signed with the server's Ed25519 key over its canonical form (RFC 8785), and it names the hash of the receipt before it: a receipt that was
// altered, left out or slipped in breaks the chain. Whoever holds the public key can check a receipt with no palate at hand: see docs/receipts.md.
//
// A bare hash of a short list of ids could be guessed. So the digest of the list is salted, and the salt does not stand in the receipt: it is kept beside it until
// whoever asked for the deletion has taken it (Book.TakeSalt), or for 30 days.
package receipt

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Format is the version of receipts that this package writes and reads.
const Format = "palate-receipt-1"

// Receipt is what is signed. Times are UTC, hashes are SHA-256 in hexadecimal digits.
type Receipt struct {
	Format       string       `json:"format"`
	Number       int64        `json:"number"`   // 1 for the first of a data directory
	Previous     string       `json:"previous"` // Hash of the receipt before; NoPrevious for the first
	Erasure      string       `json:"erasure"`  // random name of the deletion: no other one ever has it, whereas an ARN can come again with a new dataset group
	Job          string       `json:"dataDeletionJobArn"`
	Group        string       `json:"datasetGroupArn"`
	Status       string       `json:"status"`                  // COMPLETED, or FAILED if the search found something
	Reason       string       `json:"failureReason,omitempty"` // of FAILED
	Reapplied    bool         `json:"reapplied,omitempty"`     // to a data directory restored from a backup, from the sealed list of the ledger
	Created      time.Time    `json:"creationDateTime"`        // the job was accepted
	Hidden       time.Time    `json:"hiddenDateTime"`          // the cut: from here on the users were served as never seen
	Finished     time.Time    `json:"finishedDateTime"`
	Cut          int64        `json:"cut"` // rows up to this sequence number of the group were covered
	Input        Input        `json:"input"`
	Datasets     []Dataset    `json:"datasets"`
	NumDeleted   int64        `json:"numDeleted"`
	Models       []Model      `json:"models"`
	Verification Verification `json:"verification"`
	Build        Build        `json:"build"`
	PublicKey    string       `json:"publicKey"` // Ed25519, base64
}

// Input describes the list of users. Digest is SHA-256 over the salt's hexadecimal digits and the bytes of every file of the list, in order of their names;
// "" if the deletion was applied once more to a restored directory.
type Input struct {
	Users  int    `json:"distinctUsers"`
	Digest string `json:"saltedDigest"`
}

// Dataset is one dataset of the group.
type Dataset struct {
	Dataset string `json:"datasetArn"`
	Type    string `json:"datasetType"`
	Removed int64  `json:"rowsRemoved"`
	KeptOut int64  `json:"rowsKeptOut"` // of imports that were accepted before the cut and ended after it
	Before  Files  `json:"before"`      // at the cut
	After   Files  `json:"after"`       // when the receipt was written
}

// Files are the data files of a dataset. SHA256 is over the SHA-256 of each, in order of bucket and name.
type Files struct {
	Files  int    `json:"files"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
}

// Model is one model that was in use.
type Model struct {
	Resource string          `json:"resourceArn"` // solution version or recommender
	Rebuilt  bool            `json:"rebuilt"`     // false: it held none of the users, or its resource was deleted meanwhile
	Removed  bool            `json:"removed"`     // its resource was deleted meanwhile, and the model with it
	Before   string          `json:"before"`      // hash of the model
	After    string          `json:"after,omitempty"`
	Replaced json.RawMessage `json:"manifestBefore,omitempty"` // of the model that was rebuilt
	Manifest json.RawMessage `json:"manifest,omitempty"`       // of the model after: recipe, configuration, seed, snapshot, counts, hash of every array and so of its input
}

// Verification is the search that ended the job.
type Verification struct {
	Clean  bool    `json:"clean"`
	Places []Place `json:"places"` // kinds of places that were searched
}

// Place is one kind of file or of memory, and how many files, models or rows of the kind were looked at.
type Place struct {
	Name    string `json:"name"`
	Checked int64  `json:"checked"`
}

// Build is the program that did the work.
type Build struct {
	Version string `json:"version"`
	Go      string `json:"go"`
}

// signed is the file of a receipt.
type signed struct {
	Receipt   Receipt `json:"receipt"`
	Signature string  `json:"signature"` // Ed25519 over the canonical form of Receipt, base64
}

// NoPrevious stands for the hash of a receipt before the first.
var NoPrevious = strings.Repeat("0", 2*sha256.Size)

// maxSize bounds a receipt file: one of a group with thousands of models has a few MB.
const maxSize = 64 << 20

// Hash is the hash by which the next receipt names this one.
func (r *Receipt) Hash() (string, error) {
	text, err := canonical(r)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// hashOf is Hash for a file that may be damaged: of its bytes then.
func hashOf(file []byte) string {
	if r, err := Verify(file, nil); err == nil {
		if hash, err := r.Hash(); err == nil {
			return hash
		}
	}
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

// sign sets the public key and returns the file of the receipt: canonical JSON and a line end.
func sign(r *Receipt, key ed25519.PrivateKey) ([]byte, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("sign receipt: not an Ed25519 key")
	}
	r.PublicKey = base64.StdEncoding.EncodeToString(public)
	text, err := canonical(r)
	if err != nil {
		return nil, fmt.Errorf("sign receipt: %w", err)
	}
	file, err := canonical(signed{*r, base64.StdEncoding.EncodeToString(ed25519.Sign(key, text))})
	if err != nil {
		return nil, fmt.Errorf("sign receipt: %w", err)
	}
	return append(file, '\n'), nil
}

// Errors of Verify and of Chain.
var (
	ErrNotReceipt = errors.New("not a receipt of this version")
	ErrSignature  = errors.New("the signature does not match: the receipt was altered or signed with another key")
	ErrKey        = errors.New("the receipt is signed with another key than the one given")
	ErrChain      = errors.New("the chain is broken")
)

// Verify reads a receipt file and checks its signature: against the public key if one is given, else against the key that the receipt names, which proves only
// that nothing was altered since. The file must be in canonical form, so that no byte of it is without the signature.
func Verify(file []byte, public ed25519.PublicKey) (*Receipt, error) {
	if len(file) > maxSize {
		return nil, fmt.Errorf("%w: larger than %d MiB", ErrNotReceipt, maxSize>>20)
	}
	var s signed
	d := json.NewDecoder(bytes.NewReader(file))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotReceipt, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows it", ErrNotReceipt)
	}
	if s.Receipt.Format != Format {
		return nil, fmt.Errorf("%w: format %.40q", ErrNotReceipt, s.Receipt.Format)
	}
	whole, err := canonical(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotReceipt, err)
	}
	if !bytes.Equal(whole, bytes.TrimSuffix(file, []byte{'\n'})) {
		return nil, fmt.Errorf("%w: not in canonical form", ErrNotReceipt)
	}
	named, err := base64.StdEncoding.Strict().DecodeString(s.Receipt.PublicKey)
	if err != nil || len(named) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: its public key cannot be read", ErrNotReceipt)
	}
	if public != nil && !public.Equal(ed25519.PublicKey(named)) {
		return nil, ErrKey
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(s.Signature)
	if err != nil {
		return nil, fmt.Errorf("%w: its signature cannot be read", ErrNotReceipt)
	}
	text, err := canonical(&s.Receipt)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotReceipt, err)
	}
	if !ed25519.Verify(named, text, signature) {
		return nil, ErrSignature
	}
	return &s.Receipt, nil
}

// Chain checks that receipts, in order, follow one another without a gap and are signed with one key. The first need not be number 1: a part of a chain can be
// checked too.
func Chain(receipts []*Receipt) error {
	for i, r := range receipts {
		if i == 0 {
			if r.Number == 1 && r.Previous != NoPrevious {
				return fmt.Errorf("%w: receipt 1 names one before it", ErrChain)
			}
			continue
		}
		before := receipts[i-1]
		hash, err := before.Hash()
		if err != nil {
			return err
		}
		switch {
		case r.Number != before.Number+1:
			return fmt.Errorf("%w: receipt %d follows receipt %d", ErrChain, r.Number, before.Number)
		case r.Previous != hash:
			return fmt.Errorf("%w: receipt %d names another predecessor than receipt %d", ErrChain, r.Number, before.Number)
		case r.PublicKey != before.PublicKey:
			return fmt.Errorf("%w: receipt %d is signed with another key than receipt %d", ErrChain, r.Number, before.Number)
		}
	}
	return nil
}
