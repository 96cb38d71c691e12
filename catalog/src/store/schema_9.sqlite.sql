-- Schema 9: who was locked out, and by what rules logins were read.

-- Nothing counts that the issuer said of them up to this moment, in seconds; 0: they never were locked out.
ALTER TABLE login ADD COLUMN not_before INTEGER NOT NULL DEFAULT 0;

-- By what rules of the configuration a login was read, as a hash: it counts while they are the same. By what
-- rules earlier ones were read is not known: their people log in again.
ALTER TABLE login_said ADD COLUMN rules TEXT NOT NULL DEFAULT '';

-- A registrar that refused to hide a dataset shows it.
UPDATE doi SET told = NULL WHERE state = 'refused' AND told = 'hidden';
