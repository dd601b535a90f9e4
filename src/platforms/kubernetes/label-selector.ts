/** What a pod's labels must be. */
export type LabelSelector = (labels: Readonly<Record<string, string>>) => boolean;

const requirement = /^(!)?\s*([\w./-]+)\s*(?:(==|=|!=)\s*([\w.-]*)|(in|notin)\s*\(([^()]*)\))?$/;

/**
 * A selector as text, such as the scale subresource states it: `app=chat,tier in (a, b),!canary`.
 * @returns null where it is written in a way that is not known here: only the server can tell then
 * Source: Kubernetes, "Labels and Selectors": a label that is absent satisfies `!=` and `notin`.
 */
export function parseLabelSelector(text: string): LabelSelector | null {
  const tests: LabelSelector[] = [];
  // Commas within parentheses separate values.
  for (const part of text.split(/,(?![^(]*\))/)) {
    const [, not, key, operator, value, set, values] = requirement.exec(part.trim()) ?? [];
    if (key === undefined) return null;
    if (not !== undefined && (operator ?? set) !== undefined) return null;
    if (not !== undefined) tests.push((labels) => labels[key] === undefined);
    else if (operator === "!=") tests.push((labels) => labels[key] !== value);
    else if (operator !== undefined) tests.push((labels) => labels[key] === value);
    else if (set === undefined) tests.push((labels) => labels[key] !== undefined);
    else {
      const known = new Set((values ?? "").split(",").map((one) => one.trim()));
      if (set === "in") tests.push((labels) => labels[key] !== undefined && known.has(labels[key]));
      else tests.push((labels) => labels[key] === undefined || !known.has(labels[key]));
    }
  }
  return (labels) => tests.every((test) => test(labels));
}
