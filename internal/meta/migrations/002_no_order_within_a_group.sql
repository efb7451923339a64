-- No job ever waited for older jobs of another kind in its group: erasures fence what overlaps them instead.
ALTER TABLE resource DROP COLUMN after_kind;
