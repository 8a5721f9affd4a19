"""Forty lines of somebody's own questions in three kinds, as they would stand in a file."""

import json

CAPITALS = {
    "Peru": "Lima", "Kenya": "Nairobi", "Japan": "Tokyo", "Norway": "Oslo", "Cuba": "Havana", "Egypt": "Cairo",
    "Chile": "Santiago", "Ghana": "Accra", "Nepal": "Kathmandu", "Qatar": "Doha", "Spain": "Madrid", "Italy": "Rome",
    "Latvia": "Riga", "Malta": "Valletta", "Fiji": "Suva", "Oman": "Muscat", "Iran": "Tehran", "Iraq": "Baghdad",
    "Laos": "Vientiane", "Mali": "Bamako", "Togo": "Lomé", "Chad": "N'Djamena", "Niger": "Niamey",
    "Gabon": "Libreville", "Haiti": "Port-au-Prince", "Jordan": "Amman", "Kuwait": "Kuwait City", "Libya": "Tripoli",
    "Malawi": "Lilongwe", "Poland": "Warsaw", "Rwanda": "Kigali", "Serbia": "Belgrade", "Sudan": "Khartoum",
    "Syria": "Damascus", "Tunisia": "Tunis", "Uganda": "Kampala", "Ukraine": "Kyiv", "Yemen": "Sana'a",
    "Zambia": "Lusaka", "Vietnam": "Hanoi",
}  # fmt: skip
CITIES = list(CAPITALS.values())


def rows(kind: str) -> list[dict]:
    """Forty of "exact" (capitals), "f1" (the same, told by evidence), "choice" (three of them shown),
    "choice_per_character" (three of them not shown) and "number"."""
    if kind == "number":
        return [{"question": f"A crate holds {n} figs. How many are in 3 crates?", "answer": f"{3 * n:,}",
                 "cell": "crates/small" if n < 320 else "crates/large"} for n in range(300, 340)]  # fmt: skip
    shown = [[CITIES[(n + k - n % 3) % 40] for k in range(3)] for n in range(40)]
    if kind == "choice_per_character":
        return [{**row, "continuations": some} for row, some in zip(rows("exact"), shown, strict=True)]
    if kind == "choice":
        return [{**row, "choices": shown[n], "answer": row["answer"] if n % 2 else "ABC"[n % 3]}
                for n, row in enumerate(rows("exact"))]  # fmt: skip
    asked = [{"question": f"What is the capital of {country}?", "answer": city} for country, city in CAPITALS.items()]
    told = [{**row, "evidence": f"In {row['answer']} sits the government.", "word": row["answer"]} for row in asked]
    return told if kind == "f1" else asked


def write(path, some: list[dict]):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in some), encoding="utf-8")
    return path
